#include "cli/commands.hpp"
#include "cli/demo_traffic.hpp"
#include "cli/json_text.hpp"
#include "cli/redis_session.hpp"
#include "cli/sample_upstream.hpp"
#include "config/values.hpp"
#include "proxy/server.hpp"

#include <weir/redis/embedded_server.hpp>

#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <csignal>
#include <iomanip>
#include <iostream>

namespace weir::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t demo_limit = 10;
constexpr milliseconds demo_window{2000};
constexpr milliseconds demo_duration{4500};

std::vector<demo_user> demo_users() {
    std::vector<demo_user> users(5);
    users[0] = {
        .name = "alice", .story = "stays within the limit", .pause = milliseconds{450}, .targets = {"/v1/chat"}};
    users[1] = {.name = "bob",
                .story = "floods on 4 connections",
                .connections = 4,
                .pause = milliseconds{10},
                .targets = {"/v1/chat"}};
    users[2] = {.name = "carol",
                .story = "waits when told to",
                .waits_when_refused = true,
                .pause = milliseconds{20},
                .targets = {"/v1/chat"}};
    users[3] = {.name = "mallory",
                .story = "forges X-Forwarded-For",
                .says_who = false,
                .forges_address = true,
                .pause = milliseconds{20},
                .targets = {"/v1/chat"}};
    users[4] = {.name = "trudy",
                .story = "spells the path differently",
                .pause = milliseconds{20},
                .targets = {"/v1/chat", "//v1/chat", "/v1/./chat", "/v1/x/../chat", "/v1/%63hat", "/V1/Chat",
                            "/v1/chat/", "/v1/chat;a=b", "/v1/chat?x=1"}};
    return users;
}

config::config demo_config(std::uint16_t upstream_port) {
    config::config c;
    c.listen.push_back({"127.0.0.1", 0});
    c.workers = 2;
    c.redis.timeout = milliseconds{500}; // a busy machine must not look like an outage
    c.identity = {{config::identity_source::type::header, "x-user-id"}, {config::identity_source::type::ip, {}}};
    config::limit limit;
    limit.rule.name = "per-user";
    limit.rule.limit = demo_limit;
    limit.rule.window = demo_window;
    limit.endpoint = config::endpoint_scope::path;
    c.limits.push_back(limit);
    config::upstream upstream;
    upstream.name = "sample";
    upstream.targets.push_back({"127.0.0.1", upstream_port, "127.0.0.1:" + std::to_string(upstream_port)});
    c.upstreams.push_back(upstream);
    config::route route;
    route.name = "all";
    route.limits = {0};
    c.routes.push_back(route);
    c.access_log.clear();
    return c;
}

struct promise {
    bool kept;
    std::string text;
};

struct demo_report {
    std::vector<demo_user> users;
    std::vector<demo_tally> tallies;
    std::vector<promise> promises;
    std::string proxy, upstream, redis;
    std::uint64_t arrived = 0;
    std::uint64_t counted_allow = 0;
    std::uint64_t counted_deny = 0;

    bool kept() const {
        return std::all_of(promises.begin(), promises.end(), [](promise const& p) { return p.kept; });
    }
};

void count_metrics(metrics::registry const& counters, demo_report& report) {
    for (std::size_t i = 0; i < counters.workers(); ++i) {
        auto const& decisions = counters.worker(i).rules.at(0).decisions;
        report.counted_allow += decisions[outcome::allow].value();
        report.counted_deny += decisions[outcome::deny].value() + decisions[outcome::deny_local].value();
    }
}

void judge(demo_report& report) {
    auto const& t = report.tallies;
    auto all = [&](auto holds) { return std::all_of(t.begin(), t.end(), holds); };
    std::uint64_t passed = 0;
    std::uint64_t refused = 0;
    for (auto const& one : t) {
        passed += one.admitted.size();
        refused += one.refused;
    }
    report.promises = {
        {all([](demo_tally const& one) { return !one.over(demo_limit, demo_window); }),
         "nobody got more than " + std::to_string(demo_limit) + " through in any " +
             config::format_duration(demo_window)},
        {t[0].refused == 0, "alice, within the limit, was never refused"},
        {t[1].refused > 0 && t[1].admitted.size() >= 2 * demo_limit, "bob's flood got its share, and no more"},
        {t[2].waits > 0 && t[2].refused_after_waiting == 0, "carol, who waited as told, was let through then"},
        {t[3].refused > 0, "mallory's invented addresses got him nothing"},
        {t[4].refused > 0, "trudy's spellings all counted as one path"},
        {all([](demo_tally const& one) { return one.silent_refusals == 0; }),
         "every refusal said when to come back (Retry-After, RateLimit)"},
        {all([](demo_tally const& one) { return one.other == 0; }), "no request failed for another reason"},
        {report.arrived == passed, "the upstream saw what was let through, and nothing else"},
        {report.counted_allow == passed && report.counted_deny == refused,
         "weir_ratelimit_decisions_total agrees: " + std::to_string(report.counted_allow) + " allow, " +
             std::to_string(report.counted_deny) + " deny"},
    };
}

std::string wait_text(demo_tally const& tally) {
    if (!tally.most_wait)
        return "-";
    auto most = std::to_string(*tally.most_wait) + " s";
    return *tally.least_wait == *tally.most_wait ? most : std::to_string(*tally.least_wait) + " to " + most;
}

void print_text(demo_report const& report) {
    std::cout << "\n  user     behaviour                       sent  passed  refused  Retry-After\n"
              << "  -------  ---------------------------  -------  ------  -------  -----------\n";
    std::string reason;
    for (std::size_t i = 0; i < report.users.size(); ++i) {
        auto const& tally = report.tallies[i];
        std::cout << "  " << std::left << std::setw(9) << report.users[i].name << std::setw(27) << report.users[i].story
                  << std::right << std::setw(9) << tally.sent << std::setw(8) << tally.admitted.size() << std::setw(9)
                  << tally.refused << "  " << wait_text(tally) << '\n';
        if (!tally.reason.empty())
            reason = tally.reason;
    }
    if (!reason.empty())
        std::cout << "\n  Refused with 429 because " << reason << ".\n";
    std::cout << "\n  What was promised\n";
    for (auto const& p : report.promises)
        std::cout << (p.kept ? "    kept    " : "    BROKEN  ") << p.text << '\n';
    std::cout << (report.kept() ? "\n  All promises kept.\n" : "\n  Something was not as promised.\n") << std::flush;
}

void print_json(demo_report const& report) {
    auto users = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < report.users.size(); ++i) {
        auto const& tally = report.tallies[i];
        nlohmann::ordered_json one{{"user", report.users[i].name}, {"behaviour", report.users[i].story},
                                   {"sent", tally.sent},           {"passed", tally.admitted.size()},
                                   {"refused", tally.refused},     {"other", tally.other}};
        if (tally.most_wait) {
            one["retry_after_seconds"] = {{"least", *tally.least_wait}, {"most", *tally.most_wait}};
            one["reason"] = tally.reason;
        }
        users.push_back(std::move(one));
    }
    auto promises = nlohmann::ordered_json::array();
    for (auto const& p : report.promises)
        promises.push_back({{"promise", p.text}, {"kept", p.kept}});
    std::cout << json_text({{"limit", demo_limit},
                            {"window_ms", demo_window.count()},
                            {"users", users},
                            {"upstream_requests", report.arrived},
                            {"decisions", {{"allow", report.counted_allow}, {"deny", report.counted_deny}}},
                            {"promises", promises},
                            {"kept", report.kept()},
                            {"proxy", report.proxy},
                            {"upstream", report.upstream},
                            {"redis", report.redis}})
              << std::flush;
}

redis::embedded_server start_redis() {
    try {
        return redis::embedded_server::start();
    } catch (std::exception const& e) {
        throw failure("embedded_redis", e.what(), {});
    }
}

void wait_for_signal(demo_report const& report, bool json) {
    asio::io_context context(1);
    asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([](boost::system::error_code, int) {});
    if (!json)
        std::cout << "\n  It goes on until Ctrl-C. Try:\n"
                  << "    curl -i -H 'X-User-Id: you' " << report.proxy << "/v1/chat\n"
                  << "    weir doctor --redis " << report.redis << '\n'
                  << "    weir limit peek --user you --endpoint /v1/chat --redis " << report.redis << " \\\n"
                  << "                    --limit per-user=" << demo_limit << '/'
                  << config::format_duration(demo_window) << '\n'
                  << std::flush;
    context.run();
}

} // namespace

int run_command(demo_options const& options, bool json) {
    demo_report report;
    auto redis = start_redis();
    sample_upstream upstream;
    error_code ec;
    proxy::server_options how;
    how.redis.server = redis::parse_url(redis.url(), ec);
    // What goes wrong shows in the report; what the proxy says of it helps to see why.
    how.log = [](proxy::log_level, std::string_view message) { std::cerr << "weir: " << message << '\n'; };
    proxy::server server(std::make_shared<config::config const>(demo_config(upstream.port())), how);
    server.start();

    auto at = server.endpoints().front();
    report.proxy = "http://127.0.0.1:" + std::to_string(at.port());
    report.upstream = "http://127.0.0.1:" + std::to_string(upstream.port());
    report.redis = redis.url();
    report.users = demo_users();
    if (!json)
        std::cout << "Weir demo: " << demo_limit << " requests in any " << config::format_duration(demo_window)
                  << " for each user and path\n\n"
                  << "  private redis-server   " << report.redis << '\n'
                  << "  sample upstream        " << report.upstream << '\n'
                  << "  reverse proxy          " << report.proxy << "\n\n"
                  << "  Five users send requests for " << demo_duration.count() / 1000.0 << " seconds ..." << std::endl;
    report.tallies = send_demo_traffic(at, report.users, demo_duration);
    report.arrived = upstream.requests();
    count_metrics(*server.counters(), report);
    judge(report);
    json ? print_json(report) : print_text(report);
    if (options.keep)
        wait_for_signal(report, json);
    return report.kept() ? exit_yes : exit_no;
}

} // namespace weir::cli
