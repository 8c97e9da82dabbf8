#pragma once

#include "proxy/log.hpp"
#include "proxy/services.hpp"

namespace weir::proxy {

/// Asks the targets of all upstreams that want it whether they are well, and marks in the edition those that are not,
/// for all workers. Goes on until the services are those of the moment no more.
///
/// To be called on the worker's thread, of one worker. The parts, the loop and the log must outlive the loop's work.
void start_health_checks(asio::io_context& io, worker_parts& parts, services_ptr const& of, log_function const& log);

} // namespace weir::proxy
