#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills a circuit, whose name is set, from its object, complaining to `in`.
void read_circuit(reader& in, node const& value, circuit_breaker& out);

/// What circuits are made of.
std::vector<object_fields> describe_circuit_fields();

} // namespace weir::config
