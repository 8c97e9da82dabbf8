#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace weir::cli {

/// An answer of `--json`: indented, ending in a newline; bytes that are no UTF-8 replaced, since file names and users
/// may hold any.
inline std::string json_text(nlohmann::ordered_json const& value) {
    return value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

} // namespace weir::cli
