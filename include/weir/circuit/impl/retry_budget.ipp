#pragma once

#include <weir/circuit/retry_budget.hpp>

#include <algorithm>
#include <stdexcept>

namespace weir::circuit {

WEIR_DECL retry_budget::retry_budget(options how)
    : how_(how)
    , share_(static_cast<std::uint64_t>(how.share >= 0 ? how.share * 1e6 + 0.5 : 0))
    , width_(std::chrono::nanoseconds{how.window} / static_cast<std::int64_t>(bucket_count)) {
    if (!(how.share >= 0 && how.share <= 10))
        throw std::invalid_argument("a retry budget's share must be 0 to 10");
    if (how.window < std::chrono::milliseconds{1} || how.window > longest)
        throw std::invalid_argument("a retry budget's window must be 1 ms to 366 days");
}

WEIR_DECL retry_budget::bucket& retry_budget::advance(time_point now) noexcept {
    auto const size = static_cast<std::int64_t>(bucket_count);
    auto const index = now.time_since_epoch() / width_;
    // A clock that steps back counts into the present.
    for (auto i = std::max(current_ + 1, index - size + 1); i <= index; ++i) {
        auto& old = buckets_[static_cast<std::size_t>(i % size)];
        total_.requests -= old.requests;
        total_.retries -= old.retries;
        old = {};
    }
    current_ = std::max(current_, index);
    return buckets_[static_cast<std::size_t>(current_ % size)];
}

WEIR_DECL void retry_budget::request(time_point now) noexcept {
    ++advance(now).requests;
    ++total_.requests;
}

WEIR_DECL std::uint64_t retry_budget::available(time_point now) noexcept {
    advance(now);
    auto const earned = std::max<std::uint64_t>(total_.requests * share_ / 1'000'000, how_.minimum);
    return earned > total_.retries ? earned - total_.retries : 0;
}

WEIR_DECL bool retry_budget::try_retry(time_point now) noexcept {
    if (available(now) == 0)
        return false;
    ++advance(now).retries;
    ++total_.retries;
    return true;
}

} // namespace weir::circuit
