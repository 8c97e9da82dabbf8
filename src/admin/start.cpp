#include "admin/start.hpp"

#include "admin/circuits.hpp"
#include "admin/info.hpp"
#include "admin/inspect.hpp"
#include "admin/limits.hpp"
#include "admin/locks.hpp"
#include "admin/redis_info.hpp"
#include "admin/status.hpp"
#include "config/show.hpp"

#include <weir/metrics/collector.hpp>
#include <weir/metrics/process.hpp>
#include <weir/version.hpp>

namespace weir::admin {
namespace {

std::vector<condition> readiness(proxy::server const& of) {
    std::vector<condition> all;
    all.push_back({"accepting", !of.draining(), "draining"});
    if (of.config()->needs_redis())
        all.push_back({"redis", metrics::redis_up(*of.counters()), "not connected to Redis"});
    for (auto const& each : of.upstream_states())
        all.push_back({"upstream " + each.name, each.ready, "no target is well"});
    return all;
}

api_resource config_resource(proxy::server const& of) {
    return {"config", {"GET"}, [&of](api_request const& asked) -> asio::awaitable<api_answer> {
                if (asked.path.size() != 1)
                    co_return refused(404, "nothing is under /v1/config");
                co_return api_answer{200, config::show(*of.config()), {}};
            }};
}

/// 422 where the configuration is refused, with all that is wrong with it.
api_answer tell_reload(std::vector<config::issue> const& issues, std::string const& hash) {
    auto const list = [&](config::issue::severity level) {
        auto all = json::array();
        for (auto const& each : issues)
            if (each.level == level)
                all.push_back({{"pointer", each.pointer},
                               {"line", each.line},
                               {"column", each.column},
                               {"message", each.message}});
        return all;
    };
    auto errors = list(config::issue::severity::error);
    bool const done = errors.empty();
    json body{{"reloaded", done}, {"hash", hash}, {"warnings", list(config::issue::severity::warning)}};
    if (!done)
        body["errors"] = std::move(errors);
    return {done ? 200U : 422U, std::move(body), {}};
}

api_resource reload_resource(reload_function reload, std::shared_ptr<config_state> state) {
    return {"reload",
            {"POST"},
            [reload = std::move(reload), state](api_request const& asked) -> asio::awaitable<api_answer> {
                if (asked.path.size() != 1)
                    co_return refused(404, "nothing is under /v1/reload");
                auto const issues = reload("the admin API");
                co_return tell_reload(issues, state->hash()); // the hash that is now
            }};
}

/// A connection to Redis of the admin side's own, so that nothing an operator asks stands in the way of a request.
struct own_redis {
    own_redis(asio::io_context& io, redis::client_options options)
        : client(io, std::move(options))
        , info(std::make_shared<redis_info>(io, client)) {
        info->start();
    }

    redis::client client;
    std::shared_ptr<redis_info> info;
};

live_parts make_parts(asio::io_context& io, config::config const& settings, proxy::server const& of,
                      std::shared_ptr<config_state> const& state, reload_function const& reload) {
    live_parts made;
    auto const present = [&of] { return of.config(); };
    status_sources status{present, of.counters(), [state] { return state->hash(); }, {}, {}, {}, {}};
    status.readiness = [&of] { return readiness(of); };
    status.draining = [&of] { return of.draining(); };
    // Whether there is a Redis, and where, is nothing that a running server changes.
    if (settings.needs_redis()) {
        auto options = of.redis();
        options.client_name = "weir-admin";
        options.timeout = std::chrono::seconds{2};
        options.scripts = proxy::worker_scripts();
        auto const own = std::make_shared<own_redis>(io, std::move(options));
        made.metrics.push_back(own->info);
        made.api.push_back(limits_resource(present, own->client, of.local()));
        made.api.push_back(circuits_resource(of, own->client));
        made.api.push_back(locks_resource(of, own->client));
        status.redis_info = [own] { return own->info->show(); };
        status.redis = of.redis().server.display();
        made.kept.push_back(own);
    }
    made.api.push_back(status_resource(std::move(status)));
    made.api.push_back(config_resource(of));
    if (reload)
        made.api.push_back(reload_resource(reload, state));
    for (auto& each : inspection(of))
        made.api.push_back(std::move(each));
    return made;
}

} // namespace

std::unique_ptr<server> start(config::config const& settings, proxy::server const& of,
                              std::shared_ptr<config_state> const& state, reload_function reload) {
    server_options how;
    how.address = settings.admin;
    how.token = settings.admin_token;
    how.metrics = {std::make_shared<metrics::collector>(of.counters()), std::make_shared<metrics::process_collector>(),
                   std::make_shared<info_collector>(WEIR_VERSION_STRING), state};
    how.readiness = [&of] { return readiness(of); };
    how.live = [&](asio::io_context& io) { return make_parts(io, settings, of, state, reload); };
    return std::make_unique<server>(std::move(how));
}

} // namespace weir::admin
