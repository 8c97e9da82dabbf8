#pragma once

#include "admin/api.hpp"
#include "config/config.hpp"

#include <weir/rate_limit/limiter.hpp>
#include <weir/redis/client.hpp>

#include <functional>
#include <memory>

namespace weir::admin {

/// Tells the configuration in effect.
using present_config = std::function<std::shared_ptr<config::config const>()>;

/// `/v1/limits`: what a limit has counted for a user, and forgetting it. The client must outlive the resource; `local`
/// decides for the same process while Redis is away, and forgets too.
api_resource limits_resource(present_config settings, redis::client& client, std::shared_ptr<local_engine> local);

} // namespace weir::admin
