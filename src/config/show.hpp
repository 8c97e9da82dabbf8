#pragma once

#include "config/config.hpp"

#include <nlohmann/json.hpp>

namespace weir::config {

/// The configuration in its own language, every default written out, secrets replaced by `***`; loads again as the same
/// configuration (but for the secrets).
nlohmann::ordered_json show(config const& value);

/// A URL with its password replaced by `***`; `***` alone for what is no URL, since anything may be in it.
std::string mask_url(std::string const& url);

} // namespace weir::config
