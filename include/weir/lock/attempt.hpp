#pragma once

#include <weir/error.hpp>
#include <weir/lock/lease_clock.hpp>
#include <weir/lock/script.hpp>

#include <chrono>

namespace weir::lock {

/// How long an attempt goes on, and how.
struct patience {
    /// Asks once, and waits for nothing.
    bool once = true;
    /// When it gives up, where it waits.
    time_point until = time_point::max();
    /// For how long the server takes it for alive after it was last heard of.
    std::chrono::milliseconds heartbeat{2000};
    /// What is granted is worth this long from the sending of the request; later it has to be asked for again.
    std::chrono::nanoseconds worth{0};
    /// What is handed over is worth this long from the sending of the last request before; later, and with 0 always, it
    /// has to be asked for.
    std::chrono::nanoseconds handed_worth{0};
};

/// One attempt to take a lock, without clock and I/O: answers, failures, wake-ups and times in; what is to be done out.
///
/// | state   | event                                               | step                                             |
/// |---------|-----------------------------------------------------|--------------------------------------------------|
/// | asking  | held / held, but told too late                      | held -> done / ask                               |
/// | asking  | not held, asks once                                 | ended: lock_busy                                 |
/// | asking  | not held, woken meanwhile / not                     | ask / none -> waits                              |
/// | asking  | failed in a way that passes, waits / else           | none -> waits, to ask again / ended: the error   |
/// | waits   | woken; a quarter of a heartbeat is over; the first holder's time is over, and it is first      | ask |
/// | waits   | handed over / too long after the last request       | held / ask                                       |
/// | any     | `until` is reached / cancelled                      | ended: lock_busy / cancelled                     |
/// | ended   | the answer or failure of what was under way comes   | clean_up                                         |
///
/// An attempt that ended while a request was under way must hear what came of that, and then says by `clean_up` that it
/// knows; one that ended at another time can be cleaned up at once. What there is to clean up say `waits_there`,
/// `holds_there` and `doubtful`.
/// Distinct objects: safe; shared objects: unsafe.
class attempt {
public:
    enum class step : std::uint8_t { none, ask, held, ended, clean_up };

    explicit attempt(patience how) noexcept
        : how_(how) {}

    WEIR_DECL step start(time_point now) noexcept;
    WEIR_DECL step answered(acquire_answer const& answer, time_point now) noexcept;
    WEIR_DECL step failed(error_code why, time_point now) noexcept;
    /// It was told that it has the lock, or that it may have missed that.
    WEIR_DECL step woken(time_point now) noexcept;
    /// It was told that it was handed the lock, so long after the server had last heard of it.
    WEIR_DECL step handed(std::uint64_t fence, std::chrono::microseconds after_last_sign, time_point now) noexcept;
    WEIR_DECL step on_time(time_point now) noexcept;
    WEIR_DECL step cancel(error_code why) noexcept;

    /// When `on_time` is due.
    WEIR_DECL time_point wake_at() const noexcept;
    /// When the request was sent that was answered last, or is under way.
    time_point sent() const noexcept { return sent_; }
    std::uint64_t fence() const noexcept { return fence_; }
    std::chrono::microseconds since_offer() const noexcept { return since_offer_; }
    /// Why it ended.
    error_code why() const noexcept { return why_; }
    bool asking() const noexcept { return asking_; }
    bool ended() const noexcept { return ended_; }
    bool once() const noexcept { return how_.once; }

    /// The server has a place for it in the queue.
    bool waits_there() const noexcept { return waits_there_; }
    /// The server has granted it what it does not want any more.
    bool holds_there() const noexcept { return fence_ != 0; }
    /// The outcome of a request is not known, so that one may still be under way.
    bool doubtful() const noexcept { return doubtful_; }

private:
    WEIR_DECL step ask(time_point now) noexcept;
    WEIR_DECL step end(error_code why) noexcept;
    WEIR_DECL step wait(acquire_answer const& answer, time_point now) noexcept;

    patience how_;
    time_point sent_{}, next_ = time_point::max();
    std::uint64_t fence_ = 0;
    std::chrono::microseconds since_offer_{0};
    error_code why_, last_failure_;
    unsigned failures_ = 0;
    bool asking_ = false, woken_ = false, ended_ = false, waits_there_ = false, doubtful_ = false;
};

/// Whether an error of Redis passes by itself, so that what failed with it is worth another attempt.
WEIR_DECL bool passes(error_code const& ec) noexcept;

} // namespace weir::lock

#if defined(WEIR_HEADER_ONLY)
#include <weir/lock/impl/attempt.ipp>
#endif
