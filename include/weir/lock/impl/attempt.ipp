#pragma once

#include <weir/lock/attempt.hpp>

#include <algorithm>
#include <utility>

namespace weir::lock {

WEIR_DECL bool passes(error_code const& ec) noexcept {
    if (ec == errc::client_closed || ec == kind::authentication)
        return false;
    return ec == kind::not_sent || ec == kind::outcome_unknown || ec == errc::loading || ec == errc::busy ||
           ec == errc::master_down || ec == errc::cluster_down || ec == errc::redirected || ec == errc::read_only ||
           ec == errc::no_replicas || ec == errc::no_script || ec == errc::max_clients || ec == errc::disk_error;
}

WEIR_DECL attempt::step attempt::start(time_point now) noexcept { return ask(now); }

WEIR_DECL attempt::step attempt::ask(time_point now) noexcept {
    sent_ = now;
    asking_ = true;
    woken_ = false;
    next_ = time_point::max();
    return step::ask;
}

WEIR_DECL attempt::step attempt::end(error_code why) noexcept {
    ended_ = true;
    why_ = why;
    next_ = time_point::max();
    return step::ended;
}

WEIR_DECL attempt::step attempt::answered(acquire_answer const& answer, time_point now) noexcept {
    using outcome = acquire_answer::outcome;
    asking_ = false;
    failures_ = 0;
    last_failure_ = {};
    bool const waited = std::exchange(waits_there_, answer.what == outcome::not_held && !how_.once);
    fence_ = answer.fence;
    // Of one who never waited it is a grant whose first answer was lost.
    if (answer.what == outcome::held && waited)
        since_offer_ = std::max(since_offer_, answer.since_offer);
    if (ended_)
        return step::clean_up;
    if (answer.what == outcome::given_up)
        return end(errc::lock_lost);
    if (answer.what == outcome::held) {
        if (now - sent_ < how_.worth)
            return step::held;
        return how_.once ? end(errc::lock_lost) : ask(now);
    }
    return wait(answer, now);
}

WEIR_DECL attempt::step attempt::wait(acquire_answer const& answer, time_point now) noexcept {
    if (how_.once || now >= how_.until)
        return end(errc::lock_busy);
    if (woken_)
        return ask(now);
    next_ = now + how_.heartbeat / 4;
    // Only the first looks whether the time of the holder is over: the others need not.
    if (answer.ahead == 0 && answer.soonest.count() > 0)
        next_ = std::min(next_, now + answer.soonest + std::chrono::milliseconds{1});
    return step::none;
}

WEIR_DECL attempt::step attempt::failed(error_code why, time_point now) noexcept {
    asking_ = false;
    doubtful_ = doubtful_ || why == kind::outcome_unknown;
    if (ended_)
        return step::clean_up;
    if (how_.once || !passes(why))
        return end(why);
    last_failure_ = why;
    if (now >= how_.until)
        return end(why);
    auto const pause = std::chrono::milliseconds{10} * (1u << std::min(failures_++, 5u));
    next_ = now + std::min<std::chrono::nanoseconds>(pause, how_.heartbeat / 4);
    return step::none;
}

WEIR_DECL attempt::step attempt::woken(time_point now) noexcept {
    if (ended_)
        return step::none;
    woken_ = asking_;
    return asking_ ? step::none : ask(now);
}

/// The server takes it for alive for a heartbeat after it read the last request, which is after that was sent; the
/// answer to that one is here, so that the two know of the same request.
WEIR_DECL attempt::step attempt::handed(std::uint64_t fence, std::chrono::microseconds after_last_sign,
                                        time_point now) noexcept {
    if (ended_ || asking_ || !waits_there_ || now - sent_ >= how_.handed_worth)
        return woken(now);
    waits_there_ = false;
    fence_ = fence;
    // Between the sending and the reading of that request some time went, too: at most.
    since_offer_ = std::max(std::chrono::duration_cast<std::chrono::microseconds>(now - sent_) - after_last_sign,
                            std::chrono::microseconds{1});
    next_ = time_point::max();
    return step::held;
}

WEIR_DECL attempt::step attempt::on_time(time_point now) noexcept {
    if (ended_)
        return step::none;
    if (!how_.once && now >= how_.until)
        return end(last_failure_ ? last_failure_ : error_code{errc::lock_busy});
    return !asking_ && now >= next_ ? ask(now) : step::none;
}

WEIR_DECL attempt::step attempt::cancel(error_code why) noexcept { return ended_ ? step::none : end(why); }

WEIR_DECL time_point attempt::wake_at() const noexcept {
    if (ended_ || how_.once)
        return time_point::max();
    return std::min(how_.until, next_);
}

} // namespace weir::lock
