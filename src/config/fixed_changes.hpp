#pragma once

#include "config/load.hpp"

namespace weir::config {

/// What differs between two configurations and cannot be changed in a running server: one error a field, by its
/// pointer, without a line.
std::vector<issue> find_fixed_changes(config const& from, config const& to);

} // namespace weir::config
