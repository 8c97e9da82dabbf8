#pragma once

#include <weir/lock/detail/manager_state.hpp>
#include <weir/redis/hash_slot.hpp>

#include <algorithm>

namespace weir::lock::detail {

inline lease_clock clock_of(lock_options const& how) noexcept {
    using std::chrono::milliseconds;
    auto const usual = std::min(how.ttl / 10, milliseconds{1000});
    return {how.ttl, how.loss_margin.count() > 0 ? how.loss_margin : usual};
}

inline patience patience_of(lock_options const& how, time_point now) noexcept {
    patience result;
    result.once = how.wait.count() == 0;
    // Beyond a century, without end.
    constexpr std::chrono::hours century{24 * 365 * 100};
    result.until = how.wait < century ? now + how.wait : time_point::max();
    result.heartbeat = how.heartbeat;
    // What would be told as lost at once is not worth having.
    auto clock = clock_of(how);
    clock.granted(time_point{});
    result.worth = clock.warn_at().time_since_epoch();
    // An eighth of the heartbeat for the answer to the renewal, at least.
    if (how.prompt && how.durable == durability::none && how.heartbeat <= how.ttl) {
        clock.granted(time_point{}, how.heartbeat);
        result.handed_worth = clock.warn_at().time_since_epoch() - how.heartbeat / 8;
    }
    return result;
}

WEIR_DECL held_lock::held_lock(std::shared_ptr<manager_state> owner, std::string_view name, lock_options const& how,
                               demand wanted)
    : held(std::string(name), clock_of(how))
    , owner_(std::move(owner))
    , how_(how)
    , calls_(owner_->options().key_prefix, name, owner_->layout())
    , demand_(std::move(wanted))
    , attempt_(patience_of(how, boot_clock::now()))
    , timer_(owner_->get_executor()) {
    ++owner_->counts().live;
}

WEIR_DECL held_lock::~held_lock() {
    if (stage_ != stage::over)
        over();
}

WEIR_DECL held::executor_type held_lock::get_executor() const noexcept { return owner_->get_executor(); }

WEIR_DECL redis::client& held_lock::client() {
    return how_.durable == durability::none ? owner_->client() : owner_->durable_client();
}

// ---- the attempt

WEIR_DECL void held_lock::start(std::shared_ptr<acquire_waiter> waiter) {
    waiter_ = std::move(waiter);
    began_ = boot_clock::now();
    act(attempt_.start(began_), began_);
}

WEIR_DECL void held_lock::act(attempt::step what, time_point now) {
    held_lock_ptr const self(this);
    switch (what) {
    case attempt::step::none:
        return arm(attempt_.wake_at());
    case attempt::step::ask:
        return ask(now);
    case attempt::step::held:
        return obtained(now);
    case attempt::step::ended:
        if (!attempt_.asking())
            clean_up(now);
        return finish(attempt_.why(), nullptr);
    case attempt::step::clean_up:
        return clean_up(now);
    }
}

WEIR_DECL void held_lock::ask(time_point) {
    ++owner_->counts().asked;
    calls_.acquire(command_, demand_, owner_->known_fence(), *owner_->options().code->acquire);
    client().async_exec(command_, reply_, {.answered_by = &granted_by_},
                        [self = held_lock_ptr(this)](error_code ec) { self->on_answer(ec); });
    arm(attempt_.wake_at());
}

WEIR_DECL void held_lock::on_answer(error_code ec) {
    if (stage_ != stage::attempting)
        return;
    auto const now = boot_clock::now();
    auto const answer = ec ? std::nullopt : read_acquire(reply_);
    if (answer)
        owner_->note_fence(answer->fence);
    else if (!ec)
        ec = errc::unexpected_reply;
    act(answer ? attempt_.answered(*answer, now) : attempt_.failed(ec, now), now);
}

WEIR_DECL void held_lock::cancel() {
    if (stage_ == stage::attempting || stage_ == stage::confirming)
        act(attempt_.cancel(errc::cancelled), boot_clock::now());
}

WEIR_DECL void held_lock::woken() {
    if (stage_ != stage::attempting || attempt_.once())
        return;
    auto const now = boot_clock::now();
    if (auto const what = attempt_.woken(now); what == attempt::step::ask)
        act(what, now);
}

WEIR_DECL void held_lock::handed(lock_message const& what) {
    if (stage_ != stage::attempting || attempt_.once())
        return;
    // Above what is known here it is but where Redis lost the record of fences since this attempt last asked.
    if (what.fence <= owner_->known_fence())
        return woken();
    auto const now = boot_clock::now();
    auto const next = attempt_.handed(what.fence, what.after_last_sign, now);
    if (next == attempt::step::held) {
        owner_->note_fence(what.fence);
        fence_ = what.fence;
        clock_.granted(attempt_.sent(), how_.heartbeat);
        unconfirmed_ = true;
        hold(now);
    } else if (next == attempt::step::ask) {
        act(next, now);
    }
}

WEIR_DECL void held_lock::finish(error_code ec, held_ptr lock) {
    auto const waited = boot_clock::now() - began_;
    if (ec)
        ++owner_->counts().refused;
    if (auto* const observer = owner_->options().observer) {
        if (ec)
            observer->on_refused(name_, ec, waited);
        else
            observer->on_acquired(name_, waited, attempt_.since_offer());
    }
    if (auto const waiter = std::move(waiter_))
        waiter->complete(ec, std::move(lock));
}

WEIR_DECL void held_lock::obtained(time_point now) {
    fence_ = attempt_.fence();
    clock_.granted(owner_->options().fault == known_fault::deadline_from_answer ? now : attempt_.sent());
    if (how_.durable == durability::none)
        return hold(now);
    stage_ = stage::confirming;
    confirm();
}

// ---- durability

/// WAIT says how many replicas have what its connection wrote before: worth nothing on another connection.
WEIR_DECL void held_lock::confirm() {
    auto const needed = how_.durable == durability::one ? 1u : (how_.replicas + 1) / 2;
    auto const most = std::max(how_.ttl / 3, std::chrono::milliseconds{1});
    command_.clear().start(3).arg("WAIT").arg(needed).arg(most.count()).at_slot(redis::hash_slot(calls_.key()));
    client().async_exec(command_, reply_, {.timeout = most + client().options().timeout, .answered_by = &confirmed_by_},
                        [self = held_lock_ptr(this)](error_code ec) {
                            if (self->renewing_)
                                self->on_renewal_confirmed(ec);
                            else
                                self->on_confirmed(ec);
                        });
}

WEIR_DECL bool held_lock::confirmed(error_code ec) const noexcept {
    auto const needed = how_.durable == durability::one ? 1 : static_cast<std::int64_t>(how_.replicas + 1) / 2;
    return !ec && reply_.size() == 1 && reply_[0] >= needed && confirmed_by_ == granted_by_;
}

WEIR_DECL void held_lock::on_confirmed(error_code ec) {
    if (stage_ != stage::confirming)
        return;
    auto const now = boot_clock::now();
    if (confirmed(ec) && now < clock_.warn_at())
        return hold(now);
    clock_.end(now);
    act(attempt_.cancel(errc::lock_not_durable), now);
}

// ---- the lease

WEIR_DECL void held_lock::hold(time_point now) {
    stage_ = stage::held;
    handles_ = 1;
    held_since_ = now;
    // Work that is short needs no renewal of what was handed over.
    next_renewal_ = !how_.renew    ? time_point::max()
                    : unconfirmed_ ? now + (clock_.warn_at() - now) / 4
                                   : clock_.renew_at();
    if (unconfirmed_ && !how_.renew)
        renew(now);
    ++owner_->counts().acquired;
    if (attempt_.since_offer().count() > 0)
        ++owner_->counts().handed_over;
    owner_->own(*this);
    keep_time(now);
    finish({}, this);
}

WEIR_DECL bool held_lock::enter(portion what) noexcept {
    if (stage_ != stage::held || told_ || what.weight != demand_.weight || what.limit != demand_.limit ||
        !clock_.valid(boot_clock::now()))
        return false;
    ++handles_;
    return true;
}

WEIR_DECL void held_lock::keep_time(time_point) {
    arm(told_ ? time_point::max() : std::min(next_renewal_, clock_.warn_at()));
}

WEIR_DECL void held_lock::extend(handler done) {
    if (stage_ != stage::held || gone_)
        return done(errc::lock_lost);
    extending_.push_back(std::move(done));
    if (!renewing_)
        renew(boot_clock::now());
}

WEIR_DECL void held_lock::publish(std::string result, std::chrono::milliseconds keep, handler done) {
    struct exchange {
        redis::command command;
        redis::int_sink<1> reply{1};
        handler done;
    };
    if (stage_ != stage::held || gone_)
        return done(errc::lock_lost);
    auto made = std::make_unique<exchange>();
    made->done = std::move(done);
    calls_.publish(made->command, demand_, fence_, result, std::max(keep, std::chrono::milliseconds{1}),
                   *owner_->options().code->publish);
    auto& kept = *made;
    client().async_exec(kept.command, kept.reply, {.idempotent = true}, [made = std::move(made)](error_code ec) {
        made->done(ec ? ec : made->reply[0] == 1 ? error_code{} : error_code{errc::lock_lost});
    });
}

/// Redis is asked: a message alone proves nothing.
WEIR_DECL void held_lock::taken_away() {
    if (stage_ != stage::held || gone_)
        return;
    renew_again_ = renewing_;
    if (!renewing_)
        renew(boot_clock::now());
}

WEIR_DECL void held_lock::renew(time_point now) {
    renewing_ = true;
    renewal_sent_ = now;
    next_renewal_ = time_point::max();
    calls_.extend(command_, demand_, fence_, *owner_->options().code->extend);
    client().async_exec(command_, reply_, {.idempotent = true, .answered_by = &granted_by_},
                        [self = held_lock_ptr(this)](error_code ec) { self->on_renewed(ec); });
}

WEIR_DECL void held_lock::on_renewed(error_code ec) {
    if (stage_ == stage::held && !ec && reply_.size() == 1 && reply_[0] == 1 && how_.durable != durability::none)
        return confirm();
    auto const now = boot_clock::now();
    if (ec || reply_.size() != 1)
        return renewed(ec ? ec : error_code{errc::unexpected_reply}, now);
    renewed(reply_[0] == 1 ? error_code{} : error_code{errc::lock_lost}, now);
}

WEIR_DECL void held_lock::on_renewal_confirmed(error_code ec) {
    renewed(confirmed(ec) ? error_code{} : error_code{errc::lock_not_durable}, boot_clock::now());
}

WEIR_DECL void held_lock::renewed(error_code ec, time_point now) {
    held_lock_ptr const self(this);
    renewing_ = false;
    auto const told = std::exchange(extending_, {});
    if (stage_ == stage::held) {
        if (!ec) {
            failures_ = 0;
            unconfirmed_ = false;
            clock_.granted(renewal_sent_);
            next_renewal_ = how_.renew ? clock_.renew_at() : time_point::max();
        } else if (ec == errc::lock_lost) {
            gone_ = true;
            clock_.end(now);
        } else {
            auto const pause = std::chrono::milliseconds{20} * (1u << std::min(failures_++, 6u));
            next_renewal_ = how_.renew || unconfirmed_ ? now + std::min<std::chrono::nanoseconds>(pause, how_.ttl / 10)
                                                       : time_point::max();
        }
        if (gone_)
            lose(now);
        else if (std::exchange(renew_again_, false))
            renew(now);
        else
            keep_time(now);
    } else {
        ec = errc::lock_lost;
    }
    for (auto const& each : told)
        each(ec);
}

WEIR_DECL void held_lock::lose(time_point now) {
    if (std::exchange(told_, true))
        return;
    next_renewal_ = time_point::max();
    timer_.cancel();
    armed_for_ = time_point::max();
    owner_->disown(*this);
    ++owner_->counts().lost;
    if (auto* const observer = owner_->options().observer)
        observer->on_lost(name_, now - held_since_);
    held_lock_ptr const self(this);
    for (auto const& each : std::exchange(lost_calls_, {}))
        each();
}

// ---- the end

WEIR_DECL void held_lock::leave(handler done) noexcept {
    if (handles_ > 0 && --handles_ > 0) {
        if (done)
            done(told_ ? error_code{errc::lock_lost} : error_code{});
        return;
    }
    if (stage_ != stage::held) {
        if (done)
            done(errc::lock_lost);
        return;
    }
    held_lock_ptr const self(this);
    auto const now = boot_clock::now();
    stage_ = stage::cleaning;
    clock_.end(now);
    owner_->disown(*this);
    ++owner_->counts().released;
    if (auto* const observer = owner_->options().observer; observer && !told_)
        observer->on_released(name_, now - held_since_);
    told_ = true;
    lost_calls_.clear();
    given_ = std::move(done);
    try {
        clean_up(now);
    } catch (...) { // no memory for the request: the lock ends by itself
        over();
    }
}

WEIR_DECL std::string held_lock::detach() noexcept {
    if (stage_ != stage::held || told_ || !clock_.valid(boot_clock::now()))
        return {};
    held_lock_ptr const self(this);
    auto text = holding_text(demand_, fence_);
    if (unconfirmed_ && !renewing_)
        renew(boot_clock::now());
    told_ = true;
    lost_calls_.clear();
    ++owner_->counts().released;
    over();
    return text;
}

WEIR_DECL std::chrono::milliseconds held_lock::remember() const noexcept {
    // A request that may still be under way is refused for as long as the lock would have lasted.
    return attempt_.doubtful() ? std::max<std::chrono::milliseconds>(how_.ttl, std::chrono::seconds{10})
                               : std::chrono::milliseconds{0};
}

WEIR_DECL void held_lock::clean_up(time_point now) {
    stage_ = stage::cleaning;
    if (clean_until_ == time_point{})
        clean_until_ = now + std::max<std::chrono::milliseconds>(how_.ttl, how_.heartbeat) + std::chrono::seconds{1};
    bool const nothing = gone_ || !(attempt_.holds_there() || attempt_.waits_there());
    if (owner_->closed() || (nothing && !attempt_.doubtful())) {
        if (auto const given = std::exchange(given_, nullptr))
            given(errc::lock_lost);
        return over();
    }
    auto const& code = *owner_->options().code->release;
    if (attempt_.holds_there())
        calls_.release(giving_command_, demand_, attempt_.fence(), remember(), code);
    else
        calls_.give_up(giving_command_, demand_, remember(), code);
    giving_ = true;
    client().async_exec(giving_command_, giving_reply_, {.idempotent = true},
                        [self = held_lock_ptr(this)](error_code ec) { self->on_cleaned(ec); });
}

WEIR_DECL void held_lock::on_cleaned(error_code ec) {
    giving_ = false;
    if (stage_ != stage::cleaning)
        return;
    held_lock_ptr const self(this);
    auto const now = boot_clock::now();
    auto const given = std::exchange(given_, nullptr);
    if (!ec || !passes(ec) || now >= clean_until_) {
        over();
    } else {
        auto const pause = std::chrono::milliseconds{20} * (1u << std::min(failures_++, 6u));
        arm(now + std::min<std::chrono::nanoseconds>(pause, how_.ttl / 4));
    }
    if (given)
        given(ec ? ec : giving_reply_[0] == 1 ? error_code{} : error_code{errc::lock_lost});
}

WEIR_DECL void held_lock::over() noexcept {
    stage_ = stage::over;
    owner_->disown(*this);
    owner_->forget(*this);
    --owner_->counts().live;
    try {
        timer_.cancel();
    } catch (boost::system::system_error const&) { // cancelling fails only where nothing waits
    }
}

/// What is under way is overtaken by one last word, on the same connection, and nobody listens for what came of it.
WEIR_DECL void held_lock::shut() noexcept {
    held_lock_ptr const self(this);
    bool const waited = waiter_ != nullptr;
    auto const was = std::exchange(stage_, stage::over);
    told_ = true;
    clock_.end(boot_clock::now());
    try {
        if (was == stage::attempting || was == stage::confirming || was == stage::held) {
            struct last_word {
                redis::command command;
                redis::ignore_sink reply;
            };
            auto made = std::make_unique<last_word>();
            auto const& code = *owner_->options().code->release;
            // The connection for durable locks ends with the manager: what is under way there may come later.
            auto const late = how_.durable == durability::none ? remember() : how_.ttl;
            if (was == stage::attempting)
                calls_.give_up(made->command, demand_, late, code);
            else
                calls_.release(made->command, demand_, attempt_.fence(), remember(), code);
            auto& kept = *made;
            owner_->client().async_exec(kept.command, kept.reply, {.idempotent = true},
                                        [made = std::move(made)](error_code) {});
        }
        over();
        if (waited)
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

WEIR_DECL void held_lock::arm(time_point when) {
    // An earlier ring does no harm: it finds nothing to do and sets the next.
    if (when >= armed_for_ || when == time_point::max())
        return;
    armed_for_ = when;
    timer_.expires_at(when);
    timer_.async_wait([self = held_lock_ptr(this), when](error_code ec) {
        if (!ec && self->armed_for_ == when) {
            self->armed_for_ = time_point::max();
            self->on_tick();
        }
    });
}

WEIR_DECL void held_lock::on_tick() {
    auto const now = boot_clock::now();
    switch (stage_) {
    case stage::attempting:
        if (auto const what = attempt_.on_time(now); what != attempt::step::none)
            return act(what, now);
        return arm(attempt_.wake_at());
    case stage::held:
        if (now >= clock_.warn_at())
            return lose(now);
        if (!renewing_ && now >= next_renewal_)
            renew(now);
        return keep_time(now);
    case stage::cleaning:
        if (!giving_)
            clean_up(now);
        return;
    case stage::confirming:
    case stage::over:
        return;
    }
}

} // namespace weir::lock::detail
