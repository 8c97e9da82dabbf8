#include "admin/status.hpp"

#include "admin/timestamp.hpp"

#include <weir/clock.hpp>
#include <weir/metrics/collector.hpp>
#include <weir/version.hpp>

namespace weir::admin {
namespace {

using metrics::worker_block;

/// The sum over all workers of what `pick` finds in a block.
template <class Pick>
auto sum(metrics::counters const& counters, Pick const& pick) {
    decltype(pick(counters.worker(0)).value()) total = 0;
    for (std::size_t i = 0; i < counters.workers(); ++i)
        total += pick(counters.worker(i)).value();
    return total;
}

/// By bucket, not cumulative: the bounds are those of `bounds_s`, and the last has none.
template <class Pick>
json buckets(metrics::counters const& counters, Pick const& pick) {
    auto all = json::array();
    for (std::size_t b = 0; b <= metrics::histogram::bounds.size(); ++b) {
        std::uint64_t n = 0;
        for (std::size_t i = 0; i < counters.workers(); ++i)
            n += pick(counters.worker(i)).bucket(b);
        all.push_back(n);
    }
    return all;
}

json bounds() {
    auto all = json::array();
    for (auto const bound : metrics::histogram::bounds)
        all.push_back(std::chrono::duration<double>(bound).count());
    return all;
}

json show_routes(metrics::counters const& counters) {
    auto all = json::array();
    auto const& names = counters.labels().routes;
    for (std::size_t r = 0; r <= names.size(); ++r) {
        json one{{"name", r < names.size() ? names[r] : "other"}};
        for (std::size_t c = 0; c < metrics::code_class_names.size(); ++c)
            one["requests"][std::string(metrics::code_class_names[c])] = sum(
                counters, [&](worker_block const& w) -> auto const& {
                    return w.routes[r].requests[static_cast<metrics::code_class>(c)];
                });
        one["duration"] = buckets(
            counters, [&](worker_block const& w) -> auto const& { return w.routes[r].duration; });
        all.push_back(std::move(one));
    }
    return all;
}

json show_limits(metrics::counters const& counters, config::config const& settings) {
    auto all = json::array();
    auto const& names = counters.labels().rules;
    for (std::size_t r = 0; r < names.size(); ++r) {
        // Between the two, another configuration may have taken effect.
        auto const found = settings.find_limit(names[r]);
        if (!found)
            continue;
        auto const& rule = settings.limits[*found].rule;
        json one{{"name", rule.name},
                 {"algorithm", to_string(rule.algorithm)},
                 {"limit", rule.limit},
                 {"window_ms", rule.window.count()},
                 {"shadow", rule.shadow}};
        for (std::size_t o = 0; o < outcome_count; ++o)
            one["decisions"][std::string(to_string(static_cast<outcome>(o)))] = sum(
                counters, [&](worker_block const& w) -> auto const& {
                    return w.rules[r].decisions[static_cast<outcome>(o)];
                });
        all.push_back(std::move(one));
    }
    return all;
}

json show_upstreams(metrics::counters const& counters) {
    auto all = json::array();
    auto const& names = counters.labels().upstreams;
    for (std::size_t u = 0; u < names.size(); ++u) {
        json one{{"name", names[u]}};
        for (std::size_t k = 0; k < metrics::upstream_error_names.size(); ++k)
            one["errors"][std::string(metrics::upstream_error_names[k])] = sum(
                counters, [&](worker_block const& w) -> auto const& {
                    return w.upstreams[u].errors[static_cast<metrics::upstream_error>(k)];
                });
        one["duration"] = buckets(
            counters, [&](worker_block const& w) -> auto const& { return w.upstreams[u].duration; });
        all.push_back(std::move(one));
    }
    return all;
}

json show_redis(status_sources const& from, metrics::counters const& counters) {
    if (!from.redis_info)
        return {};
    std::uint64_t errors = 0;
    for (int code = 1; code < errc_count; ++code)
        errors += sum(
            counters, [&](worker_block const& w) -> auto const& { return w.redis.errors[static_cast<errc>(code)]; });
    json one{{"address", from.redis},
             {"up", metrics::redis_up(counters)},
             {"in_flight", sum(
                               counters, [](worker_block const& w) -> auto const& { return w.redis.in_flight; })},
             {"reconnects", sum(
                                counters, [](worker_block const& w) -> auto const& { return w.redis.reconnects; })},
             {"errors", errors}};
    auto const& names = counters.labels().scripts;
    for (std::size_t s = 0; s < names.size(); ++s)
        one["scripts"].push_back(
            {{"name", names[s]},
             {"commands",
              sum(
                  counters, [&](worker_block const& w) -> auto const& { return w.redis.scripts[s].commands; })},
             {"duration",
              buckets(
                  counters, [&](worker_block const& w) -> auto const& { return w.redis.scripts[s].duration; })}});
    one["info"] = from.redis_info();
    return one;
}

json show_status(status_sources const& from, boot_clock::time_point started) {
    auto const present = from.counters->now();
    auto const& counters = *present;
    bool ready = true;
    auto conditions = json::object();
    for (auto const& part : from.readiness()) {
        ready = ready && part.ready;
        conditions[part.name] = part.ready ? "ready" : part.detail;
    }
    return {{"version", WEIR_VERSION_STRING},
            {"now", format_timestamp(std::chrono::system_clock::now())},
            {"uptime_s", std::chrono::duration<double>(boot_clock::now() - started).count()},
            {"config_hash", from.config_hash()},
            {"workers", counters.workers()},
            {"draining", from.draining()},
            {"ready", ready},
            {"conditions", conditions},
            {"in_flight", sum(
                              counters, [](worker_block const& w) -> auto const& { return w.requests_in_flight; })},
            {"bounds_s", bounds()},
            {"admission", buckets(
                              counters, [](worker_block const& w) -> auto const& { return w.admission; })},
            {"routes", show_routes(counters)},
            {"limits", show_limits(counters, *from.settings())},
            {"upstreams", show_upstreams(counters)},
            {"redis", show_redis(from, counters)}};
}

} // namespace

api_resource status_resource(status_sources from) {
    return {
        "status",
        {"GET"},
        [from = std::move(from), started = boot_clock::now()](api_request const& asked) -> asio::awaitable<api_answer> {
            if (asked.path.size() != 1)
                co_return refused(404, "nothing is under /v1/status");
            co_return api_answer{200, show_status(from, started), {}};
        }};
}

} // namespace weir::admin
