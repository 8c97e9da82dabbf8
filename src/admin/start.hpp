#pragma once

#include "admin/config_state.hpp"
#include "admin/server.hpp"
#include "proxy/server.hpp"

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace weir::admin {

/// Reads the configuration again and has it take effect; what is wrong with it, warnings included. `asked_by` is for
/// the log. Any thread.
using reload_function = std::function<std::vector<config::issue>(std::string_view asked_by)>;

/// The admin side of a proxy, with /v1/reload where there is something to call: its counters, those of the process, and
/// what its readiness depends on. The proxy must outlive the server. Throws start_error.
std::unique_ptr<server> start(config::config const& settings, proxy::server const& of,
                              std::shared_ptr<config_state> const& state, reload_function reload = {});

} // namespace weir::admin
