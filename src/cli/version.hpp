#pragma once

#include <string>

namespace weir::cli {

/// "weir 0.1.0 (hiredis 0.14.1, Boost 1.81, g++ 12.2.0)", the answer to `weir --version`.
std::string version_text();

} // namespace weir::cli
