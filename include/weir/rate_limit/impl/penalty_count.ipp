#pragma once

#include <weir/rate_limit/penalty_count.hpp>
#include <weir/rate_limit/window.hpp>

#include <algorithm>

namespace weir {

WEIR_DECL penalty_count::microseconds penalty_count::blocked(microseconds now) const noexcept {
    return std::max(until_ - now, microseconds{0});
}

WEIR_DECL penalty_count::microseconds penalty_count::refuse(microseconds now, microseconds window, std::uint64_t after,
                                                            microseconds block) noexcept {
    auto const unit = log_unit(std::max(window, block));
    auto const rounded = [&](microseconds t) { return static_cast<std::int64_t>(detail::ceil_units(t, unit)) * unit; };
    if (count_ == 0 || rounded(now) - since_ >= window) {
        count_ = 0;
        since_ = rounded(now);
    }
    if (++count_ < after)
        return microseconds{0};
    count_ = 0;
    until_ = rounded(now) + rounded(block);
    return until_ - now;
}

} // namespace weir
