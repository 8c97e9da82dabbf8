#pragma once

namespace weir::cli {

/// The program: understands the command line, runs the command, says on standard error in one line what went wrong (an
/// object with `--json`), and returns the exit code.
int run(int argc, char const* const* argv);

} // namespace weir::cli
