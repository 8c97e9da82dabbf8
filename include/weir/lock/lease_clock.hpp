#pragma once

#include <weir/clock.hpp>

#include <atomic>
#include <chrono>

namespace weir::lock {

using time_point = boot_clock::time_point;

/// How long a holder may believe that he holds a lock, without clock and I/O.
///
/// The server lets the lock go `lasts` after it read the request, which is after the request was *sent*: so a lease
/// counts from there, less what two clocks may drift apart meanwhile (a hundredth, and 2 ms for their grain, as in "Is
/// Redlock safe?", antirez.com/news/101). It ends here before it ends there.
/// Thread safety: `valid` and `ends` from any thread; all else from one.
class lease_clock {
public:
    /// `margin`: how long before its end the loss is told.
    lease_clock(std::chrono::milliseconds lasts, std::chrono::nanoseconds margin) noexcept
        : lasts_(lasts)
        , margin_(margin) {}

    lease_clock(lease_clock const& other) noexcept
        : lasts_(other.lasts_)
        , margin_(other.margin_)
        , sent_(other.sent_)
        , ends_(other.ends_.load(std::memory_order_relaxed)) {}
    lease_clock& operator=(lease_clock const&) = delete;

    /// The server granted or renewed it, on a request sent at `sent`.
    void granted(time_point sent) noexcept { granted(sent, lasts_); }
    /// The same for a time that is not longer than usual.
    void granted(time_point sent, std::chrono::milliseconds lasts) noexcept {
        sent_ = sent;
        ends_.store((sent + lasts - drift_in(lasts)).time_since_epoch().count(), std::memory_order_relaxed);
    }
    /// It ends at `now`, if it has not yet.
    void end(time_point now) noexcept {
        if (now < ends())
            ends_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    }

    bool valid(time_point now) const noexcept { return now < ends(); }
    time_point ends() const noexcept { return time_point{time_point::duration{ends_.load(std::memory_order_relaxed)}}; }
    /// When it is to be renewed: after a third of its time, so that two renewals may fail.
    time_point renew_at() const noexcept { return sent_ + lasts_ / 3; }
    /// When who works under it must be told, where it was not renewed.
    time_point warn_at() const noexcept { return ends() - margin_; }
    static constexpr std::chrono::nanoseconds drift_in(std::chrono::milliseconds lasts) noexcept {
        return std::chrono::nanoseconds{lasts} / 100 + std::chrono::milliseconds{2};
    }

private:
    std::chrono::milliseconds lasts_;
    std::chrono::nanoseconds margin_;
    time_point sent_{};
    std::atomic<time_point::rep> ends_{0};
};

} // namespace weir::lock
