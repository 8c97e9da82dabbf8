#pragma once

#include <weir/circuit/window.hpp>

#include <algorithm>

namespace weir::circuit {

WEIR_DECL window::window(settings const& how) {
    if (how.window == window_kind::count)
        ring_.resize(how.window_calls);
    else
        width_ = std::chrono::nanoseconds{how.window_time} / buckets;
}

WEIR_DECL void window::advance(time_point now) noexcept {
    if (!ring_.empty() || now < end_)
        return;
    auto const since = now.time_since_epoch();
    auto const passed = (now - begin_) / width_;
    if (passed >= static_cast<std::int64_t>(buckets)) {
        clear();
    } else {
        for (auto i = passed; i > 0; --i) {
            current_ = (current_ + 1) % buckets;
            all_ -= buckets_[current_].all;
            shared_ -= buckets_[current_].shared;
            buckets_[current_] = {};
        }
    }
    begin_ = time_point{since - since % width_};
    end_ = begin_ + width_;
}

WEIR_DECL bool window::record_elsewhere(bool failed, bool slow, bool own_side, time_point now) noexcept {
    advance(now);
    if (now >= begin_) {
        add(buckets_[current_], failed, slow, own_side);
        return true;
    }
    auto const ago = static_cast<std::size_t>((begin_ - now - std::chrono::nanoseconds{1}) / width_ + 1);
    if (ago >= buckets)
        return false;
    add(buckets_[(current_ + buckets - ago) % buckets], failed, slow, own_side);
    return true;
}

WEIR_DECL void window::clear() noexcept {
    all_ = shared_ = {};
    buckets_ = {};
    std::fill(ring_.begin(), ring_.end(), std::uint8_t{0});
    if (!ring_.empty())
        current_ = 0;
}

} // namespace weir::circuit
