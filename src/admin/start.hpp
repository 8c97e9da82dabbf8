#pragma once

#include "admin/config_state.hpp"
#include "admin/server.hpp"
#include "proxy/server.hpp"

#include <memory>

namespace weir::admin {

/// The admin side of a proxy: its counters, those of the process, and what its readiness depends on. The proxy must
/// outlive the server. Throws start_error.
std::unique_ptr<server> start(config::config const& settings, proxy::server const& of,
                              std::shared_ptr<config_state> const& state);

} // namespace weir::admin
