#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills an upstream, whose name is set, from its object, complaining to `in`. `whole` holds the circuits already.
void read_upstream(reader& in, node const& value, config const& whole, upstream& out);

/// What upstreams and the objects inside them are made of.
std::vector<object_fields> describe_upstream_fields();

} // namespace weir::config
