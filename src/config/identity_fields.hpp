#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills `out` from one element of `identity`, reading the files it names, complaining to `in`.
void read_identity_source(reader& in, node const& value, identity_source& out);

/// What identities and the objects inside them are made of.
std::vector<object_fields> describe_identity_fields();

} // namespace weir::config
