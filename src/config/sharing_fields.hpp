#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills what a route says of requests that are executed once, complaining to `in`.
void read_idempotency(reader& in, node const& value, idempotency& out);

/// Fills what a route says of requests that share an answer, complaining to `in`.
void read_single_flight(reader& in, node const& value, single_flight& out);

/// What they are made of.
std::vector<object_fields> describe_sharing_fields();

} // namespace weir::config
