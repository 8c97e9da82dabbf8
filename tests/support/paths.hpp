#pragma once

#include <string>
#include <string_view>

// Where things of this checkout are. Known to one translation unit, so that the others compile to the same in every
// checkout, and the compiler cache of one serves another.

namespace weir::test {

/// A file of the source tree, by its path in it.
std::string source_path(std::string_view relative);
/// The program `weir`.
std::string const& program_path();
/// The library that moves the clock of a process that preloads it.
std::string const& shifted_clock_path();

} // namespace weir::test
