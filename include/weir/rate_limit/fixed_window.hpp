#pragma once

#include <weir/rate_limit/answer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace weir {

/// The fixed window of one rule and one key in memory: what lua/rate_check.lua keeps in Redis.
///
/// Windows begin at the multiples of their length. Time is an argument, not negative, and never steps back. Distinct
/// objects: safe; shared objects: unsafe.
class fixed_window {
public:
    using microseconds = std::chrono::microseconds;

    /// Whether `cost` units have room at `now`; 0 asks for room for one. Charges nothing.
    rate_answer ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t cost) noexcept {
        if (now / window != number_ || window != window_) {
            used_ = window == window_ || used_ == 0 ? 0 : std::min(used_, limit); // a rule that changed: as of now
            number_ = now / window;
            window_ = window;
        }
        auto const need = std::max<std::uint64_t>(cost, 1);
        rate_answer result;
        result.admitted = need <= limit && used_ + need <= limit;
        result.remaining = limit > used_ ? limit - used_ : 0;
        result.reset_after = (number_ + 1) * window - now;
        if (need > limit)
            result.retry_after = microseconds{-1};
        else if (!result.admitted)
            result.retry_after = result.reset_after;
        return result;
    }

    /// Charges `cost` units. Precondition: `ask` admitted them, with nothing in between.
    void charge(microseconds, std::uint64_t cost) noexcept { used_ += cost; }

private:
    std::int64_t number_ = 0;
    microseconds window_{0};
    std::uint64_t used_ = 0;
};

} // namespace weir
