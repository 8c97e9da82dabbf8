#pragma once

#include "proxy/guard.hpp"
#include "proxy/upstream_pool.hpp"

#include <optional>

namespace weir::proxy {

/// One worker's side of one upstream. Belongs to the worker's thread.
struct upstream {
    upstream(asio::io_context& io, deadline_wheel& wheel, config::upstream const& settings,
             std::vector<address_list> addresses)
        : pool(io, wheel, settings, std::move(addresses)) {}

    upstream_pool pool;
    /// Who gives leave to send a request there, if anybody is asked.
    std::optional<guard> circuit;
};

} // namespace weir::proxy
