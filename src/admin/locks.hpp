#pragma once

#include "admin/api.hpp"
#include "proxy/server.hpp"

#include <weir/redis/client.hpp>

namespace weir::admin {

/// /v1/locks: who holds which lock of the fleet, and who waits for it; with POST, taking it from him. The server and
/// the client, which is of the admin side's own loop, must outlive it.
api_resource locks_resource(proxy::server const& of, redis::client& client);

} // namespace weir::admin
