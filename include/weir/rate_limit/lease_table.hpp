#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/answer.hpp>

#include <chrono>
#include <cstdint>
#include <vector>

namespace weir {

/// Who holds what of a `concurrency` rule, for one key in memory: what lua/rate_check.lua keeps in Redis, where times
/// are rounded up to a unit.
///
/// Time is an argument, not negative, and never steps back. Distinct objects: safe; shared objects: unsafe.
class lease_table {
public:
    using microseconds = std::chrono::microseconds;

    /// Whether `holder` may have `cost` units at `now`, instead of what it has; 0 asks whether anybody may have one.
    WEIR_DECL rate_answer ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t holder,
                              std::uint64_t cost);

    /// Gives `holder` a lease of `cost` units until a window after `now`, instead of what it has. Precondition: `ask`
    /// admitted that at that time, with nothing in between.
    WEIR_DECL void charge(microseconds now, std::uint64_t holder, std::uint64_t cost);

    /// Returns how many units `holder` had.
    WEIR_DECL std::uint64_t release(std::uint64_t holder);

    std::size_t size() const noexcept { return leases_.size(); }

private:
    struct lease {
        microseconds end;
        std::uint64_t units;
        std::uint64_t holder;
    };

    microseconds window_{0};
    /// The first to end comes first.
    std::vector<lease> leases_;
    std::uint64_t used_ = 0;
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/lease_table.ipp>
#endif
