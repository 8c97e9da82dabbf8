#pragma once

#include "config/load.hpp"

namespace weir::config {

/// Settings that are valid each for itself and not together: an address that is taken twice, a route that can never
/// match, an admin side open to the network without a token ... The pointers are those of a configuration file; the
/// places are left 0. Parts that could not be read (an endpoint without host, a route without path) are passed over.
std::vector<issue> find_conflicts(config const& value);

} // namespace weir::config
