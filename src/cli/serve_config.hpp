#pragma once

#include "cli/options.hpp"
#include "config/load.hpp"

namespace weir::cli {

/// The configuration of `weir serve`: the file, with what flags override, or flags alone. As with a file, all errors
/// are collected: those of flags carry the flag in place of a pointer. Throws `failure` ("usage") where flags and file
/// cannot be combined or nothing says what to serve, and ("file") where the file cannot be read.
config::loaded serve_config(serve_options const& options);

} // namespace weir::cli
