#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills `out` from the root of a configuration document, complaining to `in`.
void read_document(reader& in, node const& root, config& out);

} // namespace weir::config
