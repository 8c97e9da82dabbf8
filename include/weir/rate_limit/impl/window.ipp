#pragma once

#include <weir/rate_limit/window.hpp>

#include <algorithm>

namespace weir {
WEIR_DECL rate_answer sliding_window::ask(microseconds now, std::uint64_t limit, microseconds window,
                                          std::uint64_t cost) {
    adapt(now, limit, window);
    drop_expired(now, window);
    auto const need = std::max<std::uint64_t>(cost, 1);
    rate_answer result;
    result.admitted = need <= limit && used_ + need <= limit;
    result.remaining = limit > used_ ? limit - used_ : 0;
    if (!kept_.empty())
        result.reset_after = end_of_newest(window) - now;
    if (need > limit)
        result.retry_after = microseconds{-1};
    else if (!result.admitted)
        result.retry_after = end_of(used_ + need - limit, window) - now;
    return result;
}

WEIR_DECL void sliding_window::charge(microseconds now, std::uint64_t cost) {
    used_ += cost;
    if (shape_.log()) {
        kept_.insert(kept_.end(), static_cast<std::size_t>(cost), detail::ceil_units(now, shape_.unit));
        return;
    }
    auto const slot = detail::floor_units(now, shape_.unit);
    kept_.insert(kept_.begin(), kept_.empty() ? 1 : static_cast<std::size_t>(slot - newest_slot_), 0);
    newest_slot_ = slot;
    kept_.front() += cost;
}

WEIR_DECL void sliding_window::adapt(microseconds now, std::uint64_t limit, microseconds window) {
    auto const wanted = shape_of(limit, window);
    if (wanted == shape_)
        return;
    drop_expired(now, window);
    if (!kept_.empty()) {
        auto const units = std::min(used_, limit);
        auto const last = std::min(now, end_of_newest(microseconds{0}));
        kept_.clear();
        if (wanted.log())
            kept_.assign(static_cast<std::size_t>(units), detail::ceil_units(last, wanted.unit));
        else
            kept_.assign(1, units);
        newest_slot_ = detail::floor_units(last, wanted.unit);
        used_ = units;
    }
    shape_ = wanted;
}

WEIR_DECL void sliding_window::drop_expired(microseconds now, microseconds window) {
    auto const span = detail::ceil_units(window, shape_.unit);
    auto const present = detail::floor_units(now, shape_.unit);
    if (shape_.log()) {
        kept_.erase(kept_.begin(), std::find_if(kept_.begin(), kept_.end(),
                                                [&](std::uint64_t time) { return present < time + span; }));
        used_ = kept_.size();
        return;
    }
    while (!kept_.empty() && present + kept_.size() - 1 > newest_slot_ + span) {
        used_ -= kept_.back();
        kept_.pop_back();
    }
}

/// When the newest of what is kept, charged in full, stops counting.
WEIR_DECL sliding_window::microseconds sliding_window::end_of_newest(microseconds window) const {
    auto const newest = shape_.log() ? kept_.back() : newest_slot_ + 1;
    return (newest + detail::ceil_units(window, shape_.unit)) * shape_.unit;
}

/// When the oldest `units` of what is kept no longer count.
WEIR_DECL sliding_window::microseconds sliding_window::end_of(std::uint64_t units, microseconds window) const {
    auto const span = detail::ceil_units(window, shape_.unit);
    if (shape_.log())
        return (kept_[static_cast<std::size_t>(units - 1)] + span) * shape_.unit;
    auto index = kept_.size() - 1;
    for (auto left = units; left > kept_[index]; --index)
        left -= kept_[index];
    return (newest_slot_ - index + 1 + span) * shape_.unit;
}

} // namespace weir
