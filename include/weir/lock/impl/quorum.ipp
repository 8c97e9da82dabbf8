#pragma once

#include <weir/lock/detail/quorum_lock.hpp>
#include <weir/lock/impl/manager.ipp>

#include <algorithm>
#include <stdexcept>

namespace weir::lock {
namespace detail {

// ---- what they share

WEIR_DECL quorum_state::quorum_state(std::vector<redis::client*> masters, quorum_options options)
    : masters_(std::move(masters))
    , options_(std::move(options)) {
    if (masters_.empty() || std::count(masters_.begin(), masters_.end(), nullptr) > 0)
        throw std::invalid_argument("a quorum needs clients of its masters");
    auto const bits = weir::detail::random_id();
    id_ = bits.substr(0, 16);
    random_ = *second_half(bits);
    if (options_.who.empty())
        options_.who = default_who();
}

WEIR_DECL std::string quorum_state::next_token() {
    std::string token = id_;
    append_hex(token, random());
    return token;
}

WEIR_DECL std::uint64_t quorum_state::random() noexcept { return circuit::detail::next_random(random_); }

WEIR_DECL cancellable* quorum_state::start(std::string_view name, lock_options const& how, portion what,
                                           std::shared_ptr<acquire_waiter> waiter) {
    validate(name, how, what);
    if (closed_) {
        waiter->complete(errc::client_closed, nullptr);
        return nullptr;
    }
    quorum_lock_ptr const made(new quorum_lock(shared_from_this(), name, how));
    live_.push_back(made.get());
    made->start(std::move(waiter));
    return made.get();
}

WEIR_DECL void quorum_state::close() noexcept {
    if (std::exchange(closed_, true))
        return;
    std::vector<quorum_lock_ptr> const all(live_.begin(), live_.end());
    for (auto const& each : all)
        each->shut();
}

// ---- the attempt

WEIR_DECL quorum_lock::quorum_lock(std::shared_ptr<quorum_state> owner, std::string_view name, lock_options const& how)
    : held(std::string(name), clock_of(how))
    , owner_(std::move(owner))
    , how_(how)
    , calls_(owner_->options().key_prefix, name, key_layout::standalone)
    , node_timeout_(owner_->options().node_timeout)
    , nodes_(owner_->masters().size())
    , timer_(owner_->get_executor()) {
    using std::chrono::milliseconds;
    if (node_timeout_.count() <= 0)
        node_timeout_ = std::clamp(how.ttl / 20, milliseconds{5}, milliseconds{200});
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        nodes_[i].client = owner_->masters()[i];
    demand_.who = owner_->options().who;
    demand_.lasts = how.ttl;
}

WEIR_DECL quorum_lock::~quorum_lock() {
    if (stage_ != stage::over)
        over();
}

WEIR_DECL held::executor_type quorum_lock::get_executor() const noexcept { return owner_->get_executor(); }

WEIR_DECL void quorum_lock::start(std::shared_ptr<acquire_waiter> waiter) {
    waiter_ = std::move(waiter);
    auto const now = boot_clock::now();
    until_ = patience_of(how_, now).until;
    ask_all(now);
}

WEIR_DECL void quorum_lock::send(std::size_t which, void (quorum_lock::*then)(std::size_t, error_code, unsigned)) {
    auto& to = nodes_[which];
    to.busy = true;
    to.client->async_exec(to.command, to.reply, {.timeout = node_timeout_},
                          [self = quorum_lock_ptr(this), which, then, round = round_](error_code ec) {
                              self->nodes_[which].busy = false;
                              (self.get()->*then)(which, ec, round);
                              if (!ec)
                                  self->share_fence(which);
                              self->catch_up(which);
                              self->clean(which); // where that waited for the answer
                          });
}

WEIR_DECL void quorum_lock::ask_all(time_point now) {
    stage_ = stage::asking;
    demand_.token = owner_->next_token();
    sent_ = now;
    ++round_;
    pending_ = 0;
    why_ = errc::lock_busy;
    fence_ = 0;
    for (auto& each : nodes_)
        each.fence = 0, each.refused = each.doubtful = each.clean = false;
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        ask(i);
    if (how_.wait.count() > 0)
        arm(until_);
}

WEIR_DECL void quorum_lock::ask(std::size_t which) {
    nodes_[which].asked = true;
    ++pending_;
    calls_.acquire(nodes_[which].command, demand_, owner_->known_fence, *production_scripts().acquire);
    send(which, &quorum_lock::on_answer);
}

/// Whenever it comes: what was granted has to be given back.
WEIR_DECL void quorum_lock::note_answer(node& from, error_code ec) {
    auto const answer = ec ? std::nullopt : read_acquire(from.reply);
    from.refused = answer && answer->what != acquire_answer::outcome::held;
    from.doubtful = from.doubtful || ec == kind::outcome_unknown;
    if (answer && answer->what == acquire_answer::outcome::held)
        from.fence = answer->fence;
    from.floor = std::max(from.floor, from.fence);
}

WEIR_DECL void quorum_lock::on_answer(std::size_t which, error_code ec, unsigned round) {
    note_answer(nodes_[which], ec);
    if (round != round_)
        return;
    --pending_;
    auto const now = boot_clock::now();
    if (stage_ == stage::asking)
        return judge(now);
    if (!ec)
        share_fence(which);
    judge_commit(now);
}

WEIR_DECL void quorum_lock::judge(time_point now) {
    auto const granted = static_cast<std::size_t>(
        std::count_if(nodes_.begin(), nodes_.end(), [](auto const& each) { return each.fence != 0; }));
    if (granted >= majority())
        return commit(now);
    if (granted + pending_ >= majority())
        return;
    auto const refused = static_cast<std::size_t>(
        std::count_if(nodes_.begin(), nodes_.end(), [](auto const& each) { return each.refused; }));
    // Nobody need have it where too few answered at all.
    fail(granted + refused >= majority() ? errc::lock_busy : errc::lock_not_durable, now);
}

WEIR_DECL void quorum_lock::commit(time_point now) {
    stage_ = stage::committing;
    fence_ = 0;
    for (auto const& each : nodes_)
        fence_ = std::max(fence_, each.fence);
    owner_->known_fence = std::max(owner_->known_fence, fence_);
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        if (nodes_[i].fence != 0 || nodes_[i].refused)
            share_fence(i);
    judge_commit(now);
}

/// Once more than half know of it, the fence counts.
WEIR_DECL void quorum_lock::judge_commit(time_point now) {
    if (stage_ != stage::committing)
        return;
    auto const know = static_cast<std::size_t>(
        std::count_if(nodes_.begin(), nodes_.end(), [&](auto const& each) { return each.floor >= fence_; }));
    if (know >= majority())
        hold(now);
    else if (know + pending_ + sharing_ < majority())
        fail(errc::lock_not_durable, now);
}

/// Every master that answers is told, now or later: where half and one know, and one of those forgets, the rest and the
/// one would be half and one that know nothing.
WEIR_DECL void quorum_lock::share_fence(std::size_t which) {
    auto& with = nodes_[which];
    if (with.floor >= fence_ || with.busy || stage_ == stage::asking || stage_ == stage::over)
        return;
    ++sharing_;
    calls_.raise_floor(with.command, fence_, *production_scripts().raise_floor);
    send(which, &quorum_lock::on_shared);
}

WEIR_DECL void quorum_lock::on_shared(std::size_t which, error_code ec, unsigned) {
    --sharing_;
    if (!ec)
        nodes_[which].floor = std::max(nodes_[which].floor, fence_);
    judge_commit(boot_clock::now());
}

WEIR_DECL void quorum_lock::hold(time_point now) {
    clock_.granted(sent_);
    if (now >= clock_.warn_at())
        return fail(errc::lock_not_durable, now);
    stage_ = stage::held;
    next_renewal_ = how_.renew ? clock_.renew_at() : time_point::max();
    arm(std::min(next_renewal_, clock_.warn_at()));
    finish({}, this);
}

WEIR_DECL void quorum_lock::fail(error_code why, time_point now) {
    why_ = why;
    clock_.end(now);
    clean_up(now);
}

WEIR_DECL void quorum_lock::cancel() {
    if (ended_ || stage_ == stage::held || stage_ == stage::over)
        return;
    quorum_lock_ptr const self(this);
    ended_ = true;
    why_ = errc::cancelled;
    if (stage_ != stage::cleaning)
        clean_up(boot_clock::now());
    finish(errc::cancelled, nullptr);
}

WEIR_DECL void quorum_lock::finish(error_code ec, held_ptr lock) {
    ended_ = true;
    if (auto const waiter = std::move(waiter_))
        waiter->complete(ec, std::move(lock));
}

// ---- the lease

WEIR_DECL void quorum_lock::extend(handler done) {
    if (stage_ != stage::held || told_)
        return done(errc::lock_lost);
    extending_.push_back(std::move(done));
    if (!renewing_)
        renew(boot_clock::now());
}

/// Masters that have not granted it are asked for it: one that came back counts again.
WEIR_DECL void quorum_lock::renew(time_point now) {
    renewing_ = true;
    next_renewal_ = time_point::max();
    sent_ = now;
    ++round_;
    pending_ = kept_ = gone_ = 0;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        nodes_[i].missed = nodes_[i].busy;
        if (nodes_[i].busy)
            ++pending_;
        else
            extend_at(i);
    }
}

/// Asks a master to renew that has only now answered what it was asked before.
WEIR_DECL void quorum_lock::catch_up(std::size_t which) {
    if (nodes_[which].busy || !std::exchange(nodes_[which].missed, false) || stage_ != stage::held || !renewing_)
        return;
    --pending_;
    extend_at(which);
}

WEIR_DECL void quorum_lock::extend_at(std::size_t which) {
    auto& to = nodes_[which];
    to.asked = true;
    ++pending_;
    if (to.fence != 0)
        calls_.extend(to.command, demand_, to.fence, *production_scripts().extend);
    else
        calls_.acquire(to.command, demand_, owner_->known_fence, *production_scripts().acquire);
    send(which, &quorum_lock::on_renewed);
}

WEIR_DECL void quorum_lock::on_renewed(std::size_t which, error_code ec, unsigned round) {
    bool const extended = !ec && nodes_[which].reply.size() == 1;
    bool const kept = extended && nodes_[which].reply[0] == 1;
    if (extended && !kept)
        nodes_[which].fence = nodes_[which].floor = 0;
    else if (!extended)
        note_answer(nodes_[which], ec);
    if (round != round_)
        return;
    --pending_;
    if (kept || (!ec && nodes_[which].fence != 0))
        ++kept_;
    else if (!ec)
        ++gone_;
    if (stage_ != stage::held || !renewing_ || (kept_ < majority() && kept_ + pending_ >= majority()))
        return;
    quorum_lock_ptr const self(this);
    auto const now = boot_clock::now();
    renewing_ = false;
    error_code result;
    if (kept_ >= majority()) {
        failures_ = 0;
        clock_.granted(sent_);
        next_renewal_ = how_.renew ? clock_.renew_at() : time_point::max();
    } else if (gone_ > nodes_.size() - majority()) {
        result = errc::lock_lost;
        clock_.end(now);
    } else {
        result = errc::lock_not_durable;
        auto const pause = std::chrono::milliseconds{20} * (1u << std::min(failures_++, 6u));
        next_renewal_ = how_.renew ? now + std::min<std::chrono::nanoseconds>(pause, how_.ttl / 10) : time_point::max();
    }
    auto const told = std::exchange(extending_, {});
    if (result == errc::lock_lost)
        lose();
    else if (!told_)
        arm(std::min(next_renewal_, clock_.warn_at()));
    for (auto const& each : told)
        each(result);
}

WEIR_DECL void quorum_lock::lose() {
    if (std::exchange(told_, true))
        return;
    next_renewal_ = time_point::max();
    quorum_lock_ptr const self(this);
    for (auto const& each : std::exchange(lost_calls_, {}))
        each();
}

// ---- the end

WEIR_DECL void quorum_lock::leave(handler done) noexcept {
    if (stage_ != stage::held) {
        if (done)
            done(errc::lock_lost);
        return;
    }
    quorum_lock_ptr const self(this);
    auto const now = boot_clock::now();
    clock_.end(now);
    told_ = true;
    lost_calls_.clear();
    given_ = std::move(done);
    try {
        clean_up(now);
    } catch (...) { // no memory for the requests: the lock ends by itself
        over();
    }
}

WEIR_DECL void quorum_lock::clean_up(time_point now) {
    stage_ = stage::cleaning;
    released_ = 0;
    failures_ = 0;
    clean_until_ = now + how_.ttl;
    quorum_lock_ptr const self(this);
    for (auto& each : nodes_)
        each.clean = !each.asked;
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        clean(i);
    cleaned(now);
}

/// A master that owes an answer is cleaned when it has given it.
WEIR_DECL void quorum_lock::clean(std::size_t which) {
    auto& at = nodes_[which];
    if (at.clean || at.busy || at.giving || stage_ != stage::cleaning)
        return;
    if (at.fence == 0 && !at.doubtful) {
        at.clean = true;
        return cleaned(boot_clock::now());
    }
    using std::chrono::milliseconds;
    auto const remember = at.doubtful ? std::max<milliseconds>(how_.ttl, std::chrono::seconds{10}) : milliseconds{0};
    auto const& code = *production_scripts().release;
    if (at.fence != 0)
        calls_.release(at.giving_command, demand_, at.fence, remember, code);
    else
        calls_.give_up(at.giving_command, demand_, remember, code);
    at.giving = true;
    at.client->async_exec(at.giving_command, at.giving_reply, {.idempotent = true},
                          [self = quorum_lock_ptr(this), which](error_code ec) {
                              auto& from = self->nodes_[which];
                              from.giving = false;
                              if (self->stage_ != stage::cleaning)
                                  return;
                              auto const at_present = boot_clock::now();
                              if (!ec && from.giving_reply[0] == 1)
                                  ++self->released_;
                              from.clean = !ec || !passes(ec) || at_present >= self->clean_until_;
                              if (!from.clean)
                                  self->arm(at_present + std::chrono::milliseconds{50});
                              self->cleaned(at_present);
                          });
}

WEIR_DECL void quorum_lock::cleaned(time_point now) {
    if (stage_ != stage::cleaning)
        return;
    quorum_lock_ptr const self(this);
    bool const all = std::all_of(nodes_.begin(), nodes_.end(), [](auto const& each) { return each.clean; });
    if (given_ && (released_ >= majority() || all)) {
        auto const given = std::exchange(given_, nullptr);
        given(released_ >= majority() ? error_code{} : error_code{errc::lock_lost});
    }
    bool const again = !ended_ && how_.wait.count() > 0 && now < until_;
    // Whoever does not ask again need not wait until a master that hangs is clean.
    if (!ended_ && !again)
        finish(why_, nullptr);
    if (!all || stage_ != stage::cleaning)
        return;
    if (!again)
        return over();
    auto const longest = std::min<std::uint64_t>(10u << std::min(round_, 5u), 250);
    arm(now + std::chrono::milliseconds{5 + owner_->random() % longest});
}

WEIR_DECL void quorum_lock::over() noexcept {
    stage_ = stage::over;
    owner_->forget(*this);
    try {
        timer_.cancel();
    } catch (boost::system::system_error const&) { // cancelling fails only where nothing waits
    }
}

WEIR_DECL void quorum_lock::shut() noexcept {
    quorum_lock_ptr const self(this);
    auto const was = std::exchange(stage_, stage::over);
    told_ = true;
    clock_.end(boot_clock::now());
    struct last_word {
        redis::command command;
        redis::ignore_sink reply;
    };
    try {
        for (auto const& each : nodes_) {
            if (!each.asked || each.clean || was == stage::over)
                continue;
            auto made = std::make_unique<last_word>();
            if (each.fence != 0)
                calls_.release(made->command, demand_, each.fence, {}, *production_scripts().release);
            else
                calls_.give_up(made->command, demand_, how_.ttl, *production_scripts().release);
            auto& kept = *made;
            each.client->async_exec(kept.command, kept.reply, {.idempotent = true},
                                    [made = std::move(made)](error_code) {});
        }
        over();
        finish(errc::client_closed, nullptr);
        if (auto const given = std::exchange(given_, nullptr))
            given(errc::client_closed);
        for (auto const& each : std::exchange(extending_, {}))
            each(errc::client_closed);
        for (auto const& each : std::exchange(lost_calls_, {}))
            each();
    } catch (...) { // whoever is told must not throw; what cannot be told ends by itself
    }
}

// ---- time

WEIR_DECL void quorum_lock::arm(time_point when) {
    if (when >= armed_for_ || when == time_point::max())
        return;
    armed_for_ = when;
    timer_.expires_at(when);
    timer_.async_wait([self = quorum_lock_ptr(this), when](error_code ec) {
        if (!ec && self->armed_for_ == when) {
            self->armed_for_ = time_point::max();
            self->on_tick();
        }
    });
}

WEIR_DECL void quorum_lock::on_tick() {
    quorum_lock_ptr const self(this);
    auto const now = boot_clock::now();
    switch (stage_) {
    case stage::asking:
    case stage::committing:
        return now >= until_ ? fail(why_, now) : arm(until_);
    case stage::held:
        if (now >= clock_.warn_at())
            return lose();
        if (!renewing_ && now >= next_renewal_)
            renew(now);
        return arm(std::min(next_renewal_, clock_.warn_at()));
    case stage::cleaning: {
        bool const all = std::all_of(nodes_.begin(), nodes_.end(), [](auto const& each) { return each.clean; });
        if (all && !ended_)
            return now >= until_ ? (finish(why_, nullptr), over()) : ask_all(now);
        for (std::size_t i = 0; i < nodes_.size(); ++i)
            clean(i);
        return cleaned(now);
    }
    case stage::over:
        return;
    }
}

} // namespace detail

WEIR_DECL quorum::quorum(std::vector<redis::client*> masters, quorum_options options)
    : state_(std::make_shared<detail::quorum_state>(std::move(masters), std::move(options)))
    , source_(state_.get()) {}

WEIR_DECL quorum::~quorum() { close(); }

WEIR_DECL std::size_t quorum::live() const noexcept { return state_->live(); }

WEIR_DECL void quorum::close() noexcept { state_->close(); }

} // namespace weir::lock
