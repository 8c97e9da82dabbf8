#pragma once

#include <weir/circuit/member.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace weir::circuit {

WEIR_DECL member::member(settings how, member_options options, std::uint64_t seed)
    : core_(std::move(how), seed)
    , options_(options) {
    if (options_.report_interval.count() < 1 || options_.poll_interval < options_.report_interval)
        throw std::invalid_argument("report_interval must be 1 ms or more, and poll_interval at least as long");
}

WEIR_DECL caller member::who() noexcept {
    return {core_.epoch(), core_.fleet_state(), static_cast<std::uint32_t>(core_.random() % 10000)};
}

/// Whether Redis judges by what is counted here.
WEIR_DECL bool member::counts_matter() const noexcept {
    return core_.fleet() ? core_.now() == state::half_open && core_.share() > 0 : !is_override(core_.now());
}

WEIR_DECL bool member::report_due(time_point now, bool tick) {
    if (reporting_)
        return false;
    bool const spaced = now - last_report_ >= options_.report_interval / 10;
    if (now >= next_poll_ || (spaced && (read_soon_ || now >= due_)))
        return true;
    // While Redis is away, it is tried by polls.
    if (!core_.attached() || !counts_matter())
        return false;
    // What is open here alone votes on: the others may come to see it, too.
    bool const open_here = !core_.fleet() && core_.now() != state::closed;
    if (tick && open_here)
        return true;
    if (!tick && !(spaced && (core_.danger() || open_here)))
        return false;
    auto const& counts = core_.shared_counts(now);
    return counts != told_ || core_.shared_run() != told_run_ || (told_epoch_ != core_.epoch() && counts.calls > 0);
}

WEIR_DECL std::optional<member::request> member::next(time_point now, bool tick) {
    if (auto const result = core_.next_probe_result()) {
        request made{ask::result, who(), {}, {}};
        made.who.epoch = result->epoch;
        made.probe = {result->judged ? probe::ask::result : probe::ask::give_back, result->lease, result->failed,
                      result->slow};
        return made;
    }
    bool const wants = leases_wanted_ > 0 || (core_.wants_lease() && leases_asked_ == 0);
    if (wants && now >= lease_again_ && (core_.now() == state::half_open || now >= due_)) {
        leases_wanted_ -= leases_wanted_ > 0 ? 1 : 0;
        ++leases_asked_;
        return request{ask::lease, who(), {}, {}};
    }
    if (!report_due(now, tick))
        return std::nullopt;
    reporting_ = true;
    read_soon_ = false;
    last_report_ = now;
    // Up to a tenth later, so that instances do not go in step.
    auto const poll = std::chrono::nanoseconds{options_.poll_interval};
    next_poll_ = now + poll + poll / 1000 * static_cast<std::int64_t>(core_.random() % 100);
    request made{ask::report, who(), {}, {}};
    if (auto const& counts = core_.shared_counts(now); counts_matter() && (counts.calls > 0 || told_.calls > 0)) {
        told_ = counts;
        told_run_ = core_.shared_run();
        told_epoch_ = core_.epoch();
        made.counts.counts = told_;
        made.counts.run = told_run_;
        if (told_.failures > 0)
            made.counts.last_error = {last_error_.data(), last_error_size_};
    }
    return made;
}

WEIR_DECL time_point member::next_time() const noexcept {
    auto const report = reporting_ ? time_point::max() : std::min(due_, next_poll_);
    return std::min(core_.next_deadline(), report);
}

WEIR_DECL bool member::want_lease(time_point now) noexcept {
    bool const due = core_.now() == state::half_open ? core_.share() == 0 : core_.now() == state::open && now >= due_;
    if (!core_.fleet() || !due || now < lease_again_ || leases_asked_ + leases_wanted_ >= core_.how().half_open_calls)
        return false;
    ++leases_wanted_;
    return true;
}

WEIR_DECL std::optional<member::lease> member::answered(request const& which, script_answer const& what,
                                                        time_point now) {
    failures_in_a_row_ = 0;
    if (which.what == ask::report)
        reporting_ = false;
    adopt(what.view, now);
    if (which.what != ask::lease)
        return std::nullopt;
    leases_asked_ -= leases_asked_ > 0 ? 1 : 0;
    if (what.extra != 0)
        return lease{what.view.epoch, what.extra, later(now, what.lease_lasts)};
    // All are lent: asked again no sooner than the next report would be.
    auto const pause = std::chrono::nanoseconds{options_.report_interval};
    lease_again_ = now + pause / 2 + pause / 1000 * static_cast<std::int64_t>(core_.random() % 1000);
    core_.lend(0, 0, now);
    return std::nullopt;
}

WEIR_DECL void member::failed(request const& which, bool sure, time_point now) {
    if (which.what == ask::report)
        reporting_ = false;
    if (which.what == ask::lease)
        leases_asked_ -= leases_asked_ > 0 ? 1 : 0;
    // What was told may not have been heard.
    told_epoch_ = 0;
    told_ = {};
    if (++failures_in_a_row_ < 2 && !sure)
        return;
    core_.detach(now);
    leases_wanted_ = 0;
    due_ = time_point::max();
}

WEIR_DECL void member::heard(change_message const& what, time_point now) {
    if (what.view.epoch > core_.epoch() && what.before != core_.epoch() && core_.epoch() != 0)
        read_soon_ = true;
    adopt(what.view, now);
}

WEIR_DECL void member::adopt(fleet_view const& view, time_point now) {
    auto const before = core_.generation();
    if (!core_.adopt(view, now))
        return;
    if (core_.generation() != before)
        told_ = {};
    lease_again_ = {};
    leases_wanted_ = 0;
    due_ = time_point::max();
    if (core_.fleet() && core_.until() != time_point::max()) {
        auto const spread =
            std::min(std::chrono::nanoseconds{options_.report_interval}, std::chrono::nanoseconds{view.remaining} / 10);
        due_ = later(core_.until(), spread / 1000 * static_cast<std::int64_t>(core_.random() % 1000));
    }
}

WEIR_DECL void member::note_error(std::string_view text) noexcept {
    last_error_size_ = std::min(text.size(), last_error_.size());
    // Not through the middle of a character of UTF-8.
    while (last_error_size_ < text.size() && last_error_size_ > 0 &&
           (static_cast<unsigned char>(text[last_error_size_]) & 0xc0) == 0x80)
        --last_error_size_;
    std::copy_n(text.data(), last_error_size_, last_error_.data());
}

} // namespace weir::circuit
