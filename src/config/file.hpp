#pragma once

#include <cstddef>
#include <string>

namespace weir::config {

/// The content of a file of at most `most` bytes. Throws value_error: "cannot be opened: No such file or directory",
/// "larger than 16 MiB". Thread safety: safe.
std::string read_file(std::string const& path, std::size_t most);

} // namespace weir::config
