#pragma once

#include <atomic>
#include <cstddef>

namespace weir::test {

/// Every allocation of the program is counted in `allocations` while `counting` is set. A test program that names these
/// gets the operators that do it. Sanitizers bring operators of their own, which these replace.
extern std::atomic<bool> counting;
extern std::atomic<std::size_t> allocations;

} // namespace weir::test
