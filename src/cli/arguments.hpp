#pragma once

#include "cli/completion.hpp"
#include "cli/options.hpp"

#include <optional>

namespace weir::cli {

/// Understands the command line. For `--help` and `--version` prints the answer and returns nothing. Throws `failure`
/// ("usage") for what it does not understand.
std::optional<invocation> parse_arguments(int argc, char const* const* argv);

/// The commands and options that it understands, for completion.
command_words describe_commands();

} // namespace weir::cli
