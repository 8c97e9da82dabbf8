#pragma once

#include "admin/api.hpp"
#include "proxy/server.hpp"

#include <weir/redis/client.hpp>

namespace weir::admin {

/// /v1/circuits: how the circuits of the configuration in effect stand, why they tripped, and, with POST, a hand on
/// them over the whole fleet. The server and the client, which is of the admin side's own loop, must outlive it.
api_resource circuits_resource(proxy::server const& of, redis::client& client);

} // namespace weir::admin
