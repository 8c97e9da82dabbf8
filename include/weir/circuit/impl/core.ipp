#pragma once

#include <weir/circuit/core.hpp>

#include <algorithm>
#include <utility>

namespace weir::circuit {
namespace detail {

inline settings validated(settings how) {
    validate(how, "of a breaker");
    return how;
}

} // namespace detail

WEIR_DECL core::core(settings how, std::uint64_t seed)
    : slow_after_(how.slow_call.count() > 0 ? std::chrono::nanoseconds{how.slow_call} : std::chrono::nanoseconds::max())
    , failure_rate_(millionths(how.failure_rate))
    , slow_rate_(millionths(how.slow_rate))
    , minimum_(how.minimum())
    , consecutive_(how.consecutive_failures > 0 ? how.consecutive_failures : std::numeric_limits<std::uint64_t>::max())
    , window_(how)
    , seed_(seed)
    , how_(detail::validated(std::move(how))) {
    probe_results_.reserve(how_.half_open_calls);
    early_results_.reserve(how_.half_open_calls);
}

// ---- calls

WEIR_DECL ticket core::acquire_slowly(time_point now) noexcept {
    if (!fleet() && now >= own_.until)
        on_time(now);
    auto const& at = seen();
    if (passes_)
        return {generation_, 0};
    if (at.now == state::half_open && at.share > 0) {
        if (random() % 100 < at.share)
            return {generation_, 0};
    } else if (fleet()) {
        if (at.now == state::half_open && lease_ != 0 && now < lease_until_)
            return {generation_, std::exchange(lease_, 0)};
        wants_lease_ = at.now == state::half_open || (at.now == state::open && now >= at.until);
    } else if (at.now == state::half_open && in_flight_ + probes_.calls < how_.half_open_calls) {
        ++in_flight_;
        return {generation_, 0};
    }
    ++refused_;
    return {};
}

WEIR_DECL void core::record_slowly(ticket const& of, bool failed, bool slow, bool own_side, time_point now) noexcept {
    auto const& at = seen();
    if (at.now == state::metrics_only) {
        note_threshold(count(failed, slow, own_side, now));
    } else if (at.now == state::half_open && at.share > 0) {
        count(failed, slow, own_side, now);
        if (!fleet())
            judge_step(now);
    } else if (at.now == state::half_open && fleet()) {
        // What our own side failed at says nothing of the upstream.
        probe_results_.push_back({epoch_, of.lease, !own_side, failed, slow});
    } else if (at.now == state::half_open && in_flight_ > 0) {
        --in_flight_;
        probes_ += {1, failed, slow};
        if (probes_.calls >= how_.probes_needed())
            judge_probes(now);
    }
}

WEIR_DECL void core::release(ticket const& of) noexcept {
    if (of.generation != generation_ || visible_ != state::half_open || seen().share > 0)
        return;
    if (fleet())
        probe_results_.push_back({epoch_, of.lease});
    else if (in_flight_ > 0)
        --in_flight_;
}

WEIR_DECL void core::lend(std::uint64_t epoch, std::uint64_t lease, time_point until) noexcept {
    wants_lease_ = false;
    if (lease == 0)
        return;
    if (lease_ != 0)
        probe_results_.push_back({epoch, lease});
    else if (claim(epoch, lease))
        lease_ = lease, lease_until_ = until;
}

WEIR_DECL ticket core::claim(std::uint64_t epoch, std::uint64_t lease) noexcept {
    wants_lease_ = false; // who was refused before he waited has it
    if (fleet() && fleet_.now == state::half_open && fleet_.share == 0 && epoch == epoch_)
        return {generation_, lease};
    probe_results_.push_back({epoch, lease});
    return {};
}

// ---- permits that have left

WEIR_DECL detached_permit core::detach(ticket const& of) const noexcept {
    if (of.generation != generation_)
        return {};
    return {0, of.generation, of.lease, epoch_, visible_, fleet()};
}

WEIR_DECL bool core::record(detached_permit const& of, bool own, outcome what, std::chrono::nanoseconds took,
                            time_point now) noexcept {
    if (of.lease != 0 && attached_ && of.epoch > epoch_)
        return keep_for_later(of, what, took > slow_after_);
    bool const belongs = own && of.generation == generation_ ? true
                         : own && of.lease == 0              ? false
                                                             : is_of_this_life(of);
    if (belongs)
        record(ticket{generation_, of.lease}, what, took, now);
    return belongs;
}

/// Where it comes from another instance, or from this one before it lost Redis and found it again.
WEIR_DECL bool core::is_of_this_life(detached_permit const& of) const noexcept {
    if (of.lease != 0)
        return of.epoch == epoch_ && fleet() && visible_ == state::half_open && fleet_.share == 0;
    // A new circuit has no epoch until the first report, of which the others hear by and by.
    bool const new_here = generation_ == 1 && (of.epoch == 0 || epoch_ == 0);
    if (of.epoch != epoch_ && !new_here)
        return false;
    if (of.granted_in != visible_)
        return false;
    // A half-open circuit of an instance alone counts its own probes.
    return visible_ != state::half_open || (of.fleet && fleet() && fleet_.share > 0);
}

WEIR_DECL bool core::keep_for_later(detached_permit const& of, outcome what, bool slow) noexcept {
    if (early_results_.size() == how_.half_open_calls)
        return false;
    bool const judged = what == outcome::success || what == outcome::failure;
    early_results_.push_back({of.epoch, of.lease, judged, what == outcome::failure, slow});
    return true;
}

WEIR_DECL void core::take_early_results() noexcept {
    if (early_results_.empty())
        return;
    bool const probes = fleet_.now == state::half_open && fleet_.share == 0;
    std::erase_if(early_results_, [&](probe_result const& each) {
        if (probes && each.epoch == epoch_)
            probe_results_.push_back(each);
        return each.epoch <= epoch_;
    });
}

WEIR_DECL void core::note_threshold(reason why) noexcept {
    auto const bit = static_cast<std::uint8_t>(1u << static_cast<unsigned>(why));
    if (why == reason::none || (fired_ & bit) != 0)
        return;
    fired_ |= bit;
    push({visible_, visible_, why, fleet(), epoch_, window_.all()});
}

// ---- the own state

WEIR_DECL void core::trip(time_point now) noexcept {
    auto const& all = window_.all();
    auto const why = reaches(all.failures, all.calls, failure_rate_) ? reason::failure_rate
                     : reaches(all.slow, all.calls, slow_rate_)      ? reason::slow_rate
                                                                     : reason::consecutive_failures;
    if (now - closed_at_ >= how_.healthy_for)
        openings_ = 0;
    open(why, now);
}

WEIR_DECL void core::open(reason why, time_point now) noexcept {
    // Silence is no new evidence against the upstream.
    if (why != reason::no_results || openings_ == 0)
        ++openings_;
    auto const wait = wait_of(how_, openings_, static_cast<std::uint32_t>(random() % 10000));
    own_ = {state::open, why, later(now, wait), 0};
    settle(why);
}

WEIR_DECL void core::close(reason why, time_point now) noexcept {
    own_ = {state::closed, why, time_point::max(), 0};
    closed_at_ = now;
    fresh_window();
    settle(why);
}

WEIR_DECL void core::half_open(reason why, std::uint8_t share, time_point now) noexcept {
    own_ = {state::half_open, why, later(now, how_.half_open_for), share};
    in_flight_ = 0;
    probes_ = {};
    step_began_ = now;
    if (share > 0)
        fresh_window();
    settle(why);
}

WEIR_DECL void core::judge_probes(time_point now) noexcept {
    if (reaches(probes_.failures, probes_.calls, failure_rate_))
        open(reason::probes_failed, now);
    else if (reaches(probes_.slow, probes_.calls, slow_rate_))
        open(reason::probes_slow, now);
    else
        climb(now);
}

/// To the next share of the ramp, or to closed.
WEIR_DECL void core::climb(time_point now) noexcept {
    auto const next = std::upper_bound(how_.ramp.begin(), how_.ramp.end(), own_.share);
    if (next == how_.ramp.end())
        close(reason::probes_passed, now);
    else
        half_open(reason::probes_passed, *next, now);
}

WEIR_DECL void core::judge_step(time_point now) noexcept {
    auto const& all = counts(now);
    bool const deadline = now >= own_.until;
    if (all.calls < how_.probes_needed() && !(deadline && all.calls > 0)) {
        if (deadline)
            open(reason::no_results, now);
    } else if (reaches(all.failures, all.calls, failure_rate_)) {
        open(reason::failure_rate, now);
    } else if (reaches(all.slow, all.calls, slow_rate_)) {
        open(reason::slow_rate, now);
    } else if (deadline || now - step_began_ >= how_.ramp_step) {
        climb(now);
    }
}

WEIR_DECL void core::on_time(time_point now) noexcept {
    if (fleet())
        return; // moved by Redis alone
    if (own_.now == state::half_open && own_.share > 0)
        return judge_step(now);
    if (now < own_.until)
        return;
    switch (own_.now) {
    case state::open:
        return half_open(reason::wait_over, 0, now);
    case state::half_open:
        if (probes_.calls == 0)
            return open(reason::no_results, now);
        return judge_probes(now);
    case state::forced_open:
        return half_open(reason::override_over, 0, now);
    case state::disabled:
    case state::metrics_only:
        return close(reason::override_over, now);
    case state::closed:
        return;
    }
}

WEIR_DECL time_point core::next_deadline() const noexcept {
    if (fleet())
        return time_point::max();
    if (own_.now == state::half_open && own_.share > 0) {
        // A step that is over, but for want of results, ends with the next result or at the deadline.
        auto const step = later(step_began_, how_.ramp_step);
        return window_.all().calls >= how_.probes_needed() ? std::min(step, own_.until) : own_.until;
    }
    return own_.until;
}

WEIR_DECL bool core::set(state to, std::chrono::nanoseconds lasts, time_point now) noexcept {
    if (to == state::half_open && own_.now == state::closed)
        return false;
    if (to == own_.now && !is_override(to))
        return true;
    switch (to) {
    case state::closed:
        openings_ = 0;
        close(reason::by_hand, now);
        break;
    case state::open:
        open(reason::by_hand, now);
        break;
    case state::half_open:
        half_open(reason::by_hand, 0, now);
        break;
    default:
        own_ = {to, reason::by_hand, lasts.count() < 0 ? time_point::max() : later(now, lasts), 0};
        fired_ = 0;
        if (to != state::forced_open)
            fresh_window();
        settle(reason::by_hand);
    }
    return true;
}

WEIR_DECL void core::automatic(time_point now) noexcept {
    if (own_.now == state::forced_open)
        half_open(reason::by_hand, 0, now);
    else if (is_override(own_.now))
        close(reason::by_hand, now);
}

// ---- the fleet's state

WEIR_DECL bool core::adopt(fleet_view const& told, time_point now) noexcept {
    if (told.epoch < epoch_ || (told.epoch == epoch_ && attached_))
        return false;
    bool const first = epoch_ == 0, news = told.epoch != epoch_;
    auto const fleet_before = fleet_.now;
    attached_ = true;
    epoch_ = told.epoch;
    fleet_ = {told.now, told.why, told.remaining.count() < 0 ? time_point::max() : later(now, told.remaining),
              told.share};
    take_early_results();
    if (told.now != state::closed) {
        own_ = {};
        in_flight_ = 0;
        fired_ = 0;
        openings_ = std::max(openings_, 1u);
        bool const counts_anew = told.now == state::metrics_only || (told.now == state::half_open && told.share > 0);
        if (counts_anew)
            fresh_window();
    } else if (news && (!first || is_override(own_.now))) {
        own_ = {};
        closed_at_ = now;
        if (fleet_before != state::closed || visible_ != state::closed)
            fresh_window();
    } else {
        return true; // closed as it was: what is open here stays so
    }
    settle(told.why);
    return true;
}

WEIR_DECL void core::detach(time_point now) noexcept {
    if (!attached_)
        return;
    bool const was_fleet = fleet();
    if (was_fleet) {
        own_ = fleet_;
        in_flight_ = 0;
        probes_ = {};
        step_began_ = now;
    }
    attached_ = false;
    early_results_.clear();
    if (was_fleet)
        settle(reason::none);
}

// ---- changes

WEIR_DECL void core::settle(reason why) noexcept {
    ++generation_;
    danger_ = false;
    wants_lease_ = false;
    lease_ = 0;
    auto const from = std::exchange(visible_, seen().now);
    passes_ = visible_ == state::closed || visible_ == state::disabled || visible_ == state::metrics_only;
    if (from != visible_)
        push({from, visible_, why, fleet(), epoch_, window_.all()});
}

WEIR_DECL void core::push(change const& what) noexcept {
    if (change_count_ == changes_.size()) { // nobody takes them: the oldest goes
        std::move(changes_.begin() + 1, changes_.end(), changes_.begin());
        --change_count_;
    }
    changes_[change_count_++] = what;
}

WEIR_DECL std::optional<change> core::next_change() noexcept {
    if (change_count_ == 0)
        return std::nullopt;
    auto const first = changes_.front();
    std::move(changes_.begin() + 1, changes_.begin() + change_count_, changes_.begin());
    --change_count_;
    return first;
}

WEIR_DECL std::optional<probe_result> core::next_probe_result() noexcept {
    if (probe_results_.empty())
        return std::nullopt;
    auto const first = probe_results_.front();
    probe_results_.erase(probe_results_.begin());
    return first;
}

WEIR_DECL void core::fresh_window() noexcept {
    window_.clear();
    run_ = shared_run_ = 0;
    danger_ = false;
}

WEIR_DECL std::chrono::nanoseconds core::retry_after(time_point now) const noexcept {
    auto const& at = seen();
    bool const waits = at.now == state::open || at.now == state::forced_open;
    if (!waits || at.until == time_point::max() || at.until <= now)
        return std::chrono::nanoseconds{0};
    return at.until - now;
}

} // namespace weir::circuit
