#pragma once

#include "admin/api.hpp"
#include "admin/server.hpp"
#include "config/config.hpp"

#include <weir/metrics/blocks.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace weir::admin {

/// What `/v1/status` tells of.
struct status_sources {
    /// The configuration in effect.
    std::function<std::shared_ptr<config::config const>()> settings;
    std::shared_ptr<metrics::registry const> counters;
    std::function<std::string()> config_hash;
    std::function<std::vector<condition>()> readiness;
    std::function<bool()> draining;
    /// What Redis says of itself; none: no Redis is used.
    std::function<json()> redis_info;
    /// Where Redis is, without credentials.
    std::string redis;
};

/// `/v1/status`: the state and the counters of this instance as one document, for people and the dashboard. Histograms
/// come as counts by bucket, as they are since the start: who asks twice has what happened between.
api_resource status_resource(status_sources from);

} // namespace weir::admin
