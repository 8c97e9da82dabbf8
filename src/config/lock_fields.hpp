#pragma once

#include "config/reader.hpp"

namespace weir::config {

/// Fills a lock, whose name is set, from its object, complaining to `in`.
void read_lock(reader& in, node const& value, lock& out);

/// "header:x-session-id", "user", "ip", "attribute:team", "path", "*".
lock_key parse_lock_key(std::string_view text);
std::string format_lock_key(lock_key const& value);

/// What locks are made of.
std::vector<object_fields> describe_lock_fields();

} // namespace weir::config
