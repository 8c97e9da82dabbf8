#include "admin/start.hpp"

#include "admin/info.hpp"

#include <weir/metrics/collector.hpp>
#include <weir/metrics/process.hpp>
#include <weir/version.hpp>

namespace weir::admin {
std::unique_ptr<server> start(config::config const& settings, proxy::server const& of,
                              std::shared_ptr<config_state> const& state) {
    server_options how;
    how.address = settings.admin;
    how.token = settings.admin_token;
    how.metrics = {std::make_shared<metrics::collector>(of.counters()), std::make_shared<metrics::process_collector>(),
                   std::make_shared<info_collector>(WEIR_VERSION_STRING), state};
    how.readiness = [&of] {
        std::vector<condition> all;
        all.push_back({"accepting", !of.draining(), "draining"});
        if (of.config()->needs_redis())
            all.push_back({"redis", metrics::redis_up(*of.counters()), "not connected to Redis"});
        for (auto const& each : of.upstream_states())
            all.push_back({"upstream " + each.name, each.ready, "no target is well"});
        return all;
    };
    return std::make_unique<server>(std::move(how));
}

} // namespace weir::admin
