#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills a limit, whose name is set, from its object, complaining to `in`.
void read_limit(reader& in, node const& value, limit& out);

/// What limits and the objects inside them are made of.
std::vector<object_fields> describe_limit_fields();

} // namespace weir::config
