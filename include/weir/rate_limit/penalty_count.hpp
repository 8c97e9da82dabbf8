#pragma once

#include <weir/detail/config.hpp>

#include <chrono>
#include <cstdint>

namespace weir {

/// The refusals of one rule and one key in memory, and the block they lead to: what lua/rate_check.lua keeps in Redis.
///
/// Time is an argument, not negative, and never steps back. Distinct objects: safe; shared objects: unsafe.
class penalty_count {
public:
    using microseconds = std::chrono::microseconds;

    /// How long the block still lasts.
    WEIR_DECL microseconds blocked(microseconds now) const noexcept;

    /// Counts a refusal; the `after`th within `window` blocks for `block`, rounded up to a unit. Returns how long the
    /// block lasts that this refusal began.
    WEIR_DECL microseconds refuse(microseconds now, microseconds window, std::uint64_t after,
                                  microseconds block) noexcept;

private:
    std::uint64_t count_ = 0;
    microseconds since_{0};
    microseconds until_{0};
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/penalty_count.ipp>
#endif
