#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills what a route says of requests that are executed once, complaining to `in`.
void read_idempotency(reader& in, node const& value, idempotency& out);

/// What they are made of.
std::vector<object_fields> describe_sharing_fields();

} // namespace weir::config
