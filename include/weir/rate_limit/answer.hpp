#pragma once

#include <chrono>
#include <cstdint>

namespace weir {

/// What one rule in memory says to a cost at a time.
struct rate_answer {
    bool admitted = false;
    /// Units left as it is, without what is asked.
    std::uint64_t remaining = 0;
    /// Zero if admitted; negative: never.
    std::chrono::microseconds retry_after{0};
    /// Until nothing that is charged counts any more; of a fixed window, until it ends.
    std::chrono::microseconds reset_after{0};
};

} // namespace weir
