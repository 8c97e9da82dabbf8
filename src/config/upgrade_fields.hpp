#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills the protocols to which a route may switch, in lower case, from an array of their names.
void read_upgrades(reader& in, node const& value, std::vector<std::string>& out);

} // namespace weir::config
