#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <utility>

namespace weir::test {

/// The reference: every charge with its time, nothing shared, nothing clever.
class exact_log {
public:
    using microseconds = std::chrono::microseconds;

    /// Units charged less than `window` ago.
    std::uint64_t used(microseconds now, microseconds window) const {
        std::uint64_t sum = 0;
        for (auto const& [time, cost] : charges_)
            if (now - time < window)
                sum += cost;
        return sum;
    }

    void charge(microseconds now, std::uint64_t cost) { charges_.emplace_back(now, cost); }

    /// Drops what no question up to `horizon` ago can reach.
    void forget(microseconds now, microseconds horizon) {
        while (!charges_.empty() && now - charges_.front().first > horizon)
            charges_.pop_front();
    }

    /// Until all of `cost` has room, as it is now: the age at which the oldest charges that must leave have left.
    microseconds retry_after(microseconds now, microseconds window, std::uint64_t limit, std::uint64_t cost) const {
        auto left = used(now, window);
        if (left + cost <= limit)
            return microseconds{0};
        for (auto const& [time, charged] : charges_) {
            if (now - time >= window)
                continue;
            left -= charged;
            if (left + cost <= limit)
                return time + window - now;
        }
        return microseconds{-1};
    }

private:
    std::deque<std::pair<microseconds, std::uint64_t>> charges_;
};

} // namespace weir::test
