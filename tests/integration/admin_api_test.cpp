#include "admin/start.hpp"
#include "support/decision_service.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

// What an operator asks the admin side, over real sockets, of a proxy in front of a real Redis.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char token[] = "0123456789abcdef-token";

config::config with_limits(std::uint16_t port, std::vector<config::limit> limits) {
    auto c = proxy_config(port);
    c.admin = {"127.0.0.1", 0};
    c.identity = {{config::identity_source::type::header, "x-user"}, {}};
    for (std::size_t i = 0; i < limits.size(); ++i)
        c.routes.front().limits.push_back(i);
    c.limits = std::move(limits);
    c.redis.timeout = std::chrono::seconds{5};
    return c;
}

class admin_api : public testing::Test {
protected:
    /// A proxy with an admin side.
    struct running {
        running(config::config c, proxy::server_options how)
            : settings(c)
            , proxy(std::move(c), std::move(how))
            , admin(admin::start(settings, proxy.server, std::make_shared<admin::config_state>(settings))) {}

        http_client connect() const { return http_client(admin->endpoint()); }
        http_response ask(std::string const& target) const {
            return connect().exchange("GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        }
        json get(std::string const& target) const {
            auto const answer = ask(target);
            EXPECT_EQ(answer.status, 200) << target << ": " << answer.body;
            EXPECT_EQ(answer.field("Content-Type"), "application/json");
            return json::parse(answer.body);
        }
        /// The refusals of a request, or all: a request is recorded when it has ended, after its client has the answer.
        json refusals(std::string const& query) const {
            for (;;)
                if (auto const answer = ask("/v1/explain" + query); answer.status == 200)
                    if (auto list = json::parse(answer.body).at("refusals"); !list.empty())
                        return list;
        }
        /// The status once that many requests have ended.
        json status_after(int requests) const {
            for (;;) {
                auto status = get("/v1/status");
                int ended = 0;
                for (auto const& route : status.at("routes"))
                    for (auto const& n : route.at("requests"))
                        ended += n.get<int>();
                if (ended >= requests)
                    return status;
            }
        }
        http_response post(std::string const& target, std::string const& fields = "") const {
            return connect().exchange("POST " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + fields +
                                      "Content-Length: 0\r\n\r\n");
        }

        config::config const settings;
        running_proxy proxy;
        std::unique_ptr<admin::server> admin;
    };

    running start(std::vector<config::limit> limits) { return start(with_limits(up_.port(), std::move(limits))); }
    running start(config::config c) { return running(std::move(c), options_for(redis_)); }

    static http_response get_as(http_client& client, std::string const& user, std::string const& more = "") {
        return client.get("/", "X-User: " + user + "\r\n" + more);
    }

    redis_server redis_;
    upstream up_{upstream::always("served")};
};

TEST_F(admin_api, status_counts_what_happened) {
    auto const weir = start({hourly("per-user", 2)});
    auto client = weir.proxy.connect();
    for (int i = 0; i < 3; ++i)
        get_as(client, "alice");
    client.get("/%2e%2e%2f");
    auto const status = weir.status_after(4);
    EXPECT_EQ(status.at("workers"), 1);
    EXPECT_EQ(status.at("ready"), true);
    EXPECT_EQ(status.at("draining"), false);
    EXPECT_EQ(status.at("config_hash").get<std::string>().size(), 16u);
    auto const& routes = status.at("routes");
    ASSERT_EQ(routes.size(), 2u);
    EXPECT_EQ(routes[0].at("name"), "all");
    EXPECT_EQ(routes[0].at("requests").at("2xx"), 2);
    EXPECT_EQ(routes[0].at("requests").at("4xx"), 1);
    EXPECT_EQ(routes[1].at("name"), "other");
    EXPECT_EQ(routes[1].at("requests").at("4xx"), 1);
    std::uint64_t observed = 0;
    for (auto const& n : routes[0].at("duration"))
        observed += n.get<std::uint64_t>();
    EXPECT_EQ(observed, 3u);
    EXPECT_EQ(routes[0].at("duration").size(), status.at("bounds_s").size() + 1);
    EXPECT_EQ(status.at("limits")[0].at("decisions").at("allow"), 2);
    auto const& decisions = status.at("limits")[0].at("decisions");
    EXPECT_EQ(decisions.at("deny").get<int>() + decisions.at("deny_local").get<int>(), 1);
    EXPECT_EQ(status.at("redis").at("up"), true);
    EXPECT_THAT(status.at("redis").at("address").get<std::string>(), HasSubstr("unix:///"));
    redis_.kill();
    while (weir.get("/v1/status").at("ready") == true) {
    }
    EXPECT_THAT(weir.get("/v1/status").at("conditions").at("redis").get<std::string>(), HasSubstr("not connected"));
}

TEST_F(admin_api, a_limit_is_looked_at_without_being_counted_and_forgotten) {
    auto const weir = start({hourly("per-user", 2)});
    auto client = weir.proxy.connect();
    auto const remaining = [&] { return weir.get("/v1/limits/per-user/alice").at("endpoints")[0].at("remaining"); };
    EXPECT_EQ(remaining(), 2);
    EXPECT_EQ(get_as(client, "alice").status, 200);
    EXPECT_EQ(remaining(), 1);
    EXPECT_EQ(remaining(), 1);
    EXPECT_EQ(get_as(client, "alice").status, 200);
    EXPECT_EQ(get_as(client, "alice").status, 429);
    auto const peek = weir.get("/v1/limits/per-user/alice");
    EXPECT_EQ(peek.at("rule"), "per-user");
    EXPECT_EQ(peek.at("endpoints")[0].at("endpoint"), "all");
    EXPECT_EQ(peek.at("endpoints")[0].at("allowed"), false);
    EXPECT_GT(peek.at("endpoints")[0].at("retry_after_ms"), 3'500'000);

    auto const reset = weir.post("/v1/limits/per-user/alice/reset");
    EXPECT_EQ(reset.status, 200) << reset.body;
    EXPECT_EQ(json::parse(reset.body).at("endpoints")[0].at("forgotten"), true);
    EXPECT_EQ(remaining(), 2);
    // The worker had remembered its refusal, and is told.
    while (get_as(client, "alice").status != 200) {
    }
    EXPECT_EQ(json::parse(weir.post("/v1/limits/per-user/nobody/reset").body).at("endpoints")[0].at("forgotten"),
              false);
}

TEST_F(admin_api, users_and_endpoints_are_named_in_any_spelling) {
    auto by_path = hourly("by-path", 5);
    by_path.endpoint = config::endpoint_scope::path;
    auto together = hourly("together", 5);
    together.per = {{config::per_part::type::everyone, {}}};
    together.endpoint = config::endpoint_scope::any;
    auto const weir = start({by_path, together});
    auto client = weir.proxy.connect();
    client.get("/v1/chat", "X-User: a/b c\r\n");
    EXPECT_EQ(weir.get("/v1/limits/by-path/a%2Fb%20c?endpoint=/v1/chat").at("endpoints")[0].at("remaining"), 4);
    EXPECT_EQ(weir.get("/v1/limits/by-path/a%2Fb%20c?endpoint=%2Fother").at("endpoints")[0].at("remaining"), 5);
    EXPECT_EQ(weir.get("/v1/limits/together/anybody").at("endpoints")[0].at("remaining"), 4);
    EXPECT_THAT(weir.ask("/v1/limits/by-path/alice").body, HasSubstr("?endpoint="));
    EXPECT_EQ(weir.get("/v1/limits").at("limits").size(), 2u);
}

TEST_F(admin_api, what_is_not_there_is_named) {
    auto const weir = start({hourly("per-user", 2)});
    EXPECT_EQ(weir.ask("/v1/limits/per-usr/alice").status, 404);
    EXPECT_THAT(weir.ask("/v1/limits/per-usr/alice").body, HasSubstr(R"(did you mean \"per-user\")"));
    EXPECT_EQ(weir.ask("/v1/limits/per-user").status, 404);
    EXPECT_EQ(weir.ask("/v1/limits/per-user/alice/forget").status, 404);
    EXPECT_EQ(weir.ask("/v1/limits/per-user/alice/reset").status, 405);
    EXPECT_EQ(weir.post("/v1/limits/per-user/alice").status, 405);
    EXPECT_EQ(weir.post("/v1/status").status, 405);
    EXPECT_EQ(weir.post("/v1/status").field("Allow"), "GET");
    EXPECT_EQ(weir.ask("/v1/nothing").status, 404);
    EXPECT_EQ(weir.ask("/v1/").status, 404);
    EXPECT_EQ(weir.ask("/v1/top/x").status, 400);
    EXPECT_EQ(weir.ask("/v1/top?limit=x").status, 400);
    EXPECT_EQ(weir.ask("/v1/%zz").status, 400);
    EXPECT_EQ(weir.ask("/v2/status").status, 404);
    redis_.kill();
    EXPECT_EQ(weir.ask("/v1/limits/per-user/alice").status, 503);
}

TEST_F(admin_api, top_names_the_hottest_keys_of_all_workers) {
    auto c = with_limits(up_.port(), {hourly("per-user", 5)});
    c.workers = 2;
    auto const weir = start(std::move(c));
    for (int i = 0; i < 8; ++i) { // on connections of their own, so that both workers have some
        auto client = weir.proxy.connect();
        get_as(client, "heavy");
        get_as(client, "heavy");
        get_as(client, "user" + std::to_string(i));
    }
    auto const top = weir.get("/v1/top?limit=3");
    ASSERT_EQ(top.at("keys").size(), 3u);
    auto const& first = top.at("keys")[0];
    EXPECT_EQ(first.at("user"), "heavy");
    EXPECT_EQ(first.at("endpoint"), "all");
    EXPECT_EQ(first.at("rule"), "per-user");
    EXPECT_EQ(first.at("count"), 16);
    EXPECT_EQ(first.at("refused"), 11);
    EXPECT_EQ(first.at("error"), 0);
    EXPECT_EQ(top.at("keys")[1].at("count"), 1);
    EXPECT_GT(top.at("seconds"), 0);
}

TEST_F(admin_api, explain_says_why_a_request_was_refused_and_when_it_passes) {
    auto const weir = start({hourly("wide", 100), hourly("tight", 1)});
    auto client = weir.proxy.connect();
    EXPECT_EQ(get_as(client, "alice").status, 200);
    EXPECT_EQ(get_as(client, "alice", "X-Request-Id: mine-1\r\n").status, 429);
    auto const explained = weir.refusals("?request_id=mine-1");
    ASSERT_EQ(explained.size(), 1u);
    auto const& one = explained[0];
    EXPECT_EQ(one.at("status"), 429);
    EXPECT_EQ(one.at("route"), "all");
    EXPECT_EQ(one.at("client"), "127.0.0.1");
    EXPECT_EQ(one.at("clock"), "redis");
    EXPECT_THAT(one.at("detail").get<std::string>(), HasSubstr("the limit \"tight\" is used up"));
    ASSERT_EQ(one.at("rules").size(), 2u);
    EXPECT_EQ(one.at("rules")[0].at("rule"), "wide");
    EXPECT_EQ(one.at("rules")[0].at("allowed"), true);
    auto const& tight = one.at("rules")[1];
    EXPECT_EQ(tight.at("outcome"), "deny");
    EXPECT_EQ(tight.at("user"), "alice");
    EXPECT_EQ(tight.at("endpoint"), "all");
    EXPECT_EQ(tight.at("limit"), 1);
    EXPECT_EQ(tight.at("window_ms"), 3'600'000);
    EXPECT_EQ(tight.at("remaining"), 0);
    EXPECT_EQ(tight.at("cost"), 1);
    EXPECT_GT(tight.at("retry_after_ms"), 3'500'000);
    EXPECT_GT(tight.at("passes_at").get<std::string>(), one.at("at").get<std::string>());

    auto const unknown = weir.ask("/v1/explain?request_id=other");
    EXPECT_EQ(unknown.status, 404);
    EXPECT_THAT(unknown.body, HasSubstr("latest 512"));
    EXPECT_EQ(weir.refusals("").size(), 1u);
}

TEST_F(admin_api, explain_knows_what_the_decision_service_refused) {
    auto c = with_limits(up_.port(), {hourly("tight", 1)});
    c.decision.emplace().address = {"127.0.0.1", 0};
    auto const weir = start(std::move(c));
    auto client = connect_to_decisions(weir.proxy);
    client.exchange(post(R"({"user":"ada","endpoint":"e"})"));
    client.exchange(post(R"([{"user":"ada","endpoint":"e","request_id":"job-7"},{"user":"bob","endpoint":"e"}])"));
    auto const all = weir.refusals("");
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].at("request_id"), "job-7");
    EXPECT_EQ(all[0].at("client"), "127.0.0.1");
    EXPECT_EQ(all[0].at("path"), "/v1/check");
    EXPECT_EQ(all[0].at("status"), 429);
    EXPECT_EQ(all[0].at("rules")[0].at("user"), "ada");
}

TEST_F(admin_api, explain_remembers_the_latest_alone_however_many_there_are) {
    auto nobody = hourly("nobody", 0);
    auto const weir = start({nobody});
    auto client = weir.proxy.connect();
    for (int i = 0; i < 600; ++i)
        ASSERT_EQ(get_as(client, std::string(3000, 'u'), "X-Request-Id: r" + std::to_string(i) + "\r\n").status, 429);
    auto const last = weir.refusals("?request_id=r599")[0];
    EXPECT_EQ(weir.ask("/v1/explain?request_id=r80").status, 404);
    EXPECT_EQ(last.at("rules")[0].at("user").get<std::string>().size(), proxy::max_remembered_text);
    EXPECT_EQ(last.at("rules")[0].at("retry_after_ms"), nullptr) << "never";
    auto const latest = weir.refusals("?limit=3");
    ASSERT_EQ(latest.size(), 3u);
    EXPECT_EQ(latest[0].at("request_id"), "r599");
    EXPECT_EQ(latest[2].at("request_id"), "r597");
}

TEST_F(admin_api, another_configuration_is_shown_and_what_was_remembered_stays) {
    auto weir = start({hourly("first", 1)});
    auto client = weir.proxy.connect();
    get_as(client, "alice");
    EXPECT_EQ(get_as(client, "alice", "X-Request-Id: before\r\n").status, 429);
    auto other = with_limits(up_.port(), {hourly("second", 7)});
    ASSERT_TRUE(weir.proxy.server.reload(std::make_shared<config::config const>(other)).empty());
    while (weir.get("/v1/status").at("limits")[0].at("name") != "second") {
    }
    EXPECT_EQ(weir.ask("/v1/limits/first/alice").status, 404);
    EXPECT_EQ(weir.get("/v1/limits/second/alice").at("endpoints")[0].at("remaining"), 7);
    EXPECT_EQ(weir.get("/v1/config").at("limits").size(), 1u);
    auto const before = weir.refusals("?request_id=before")[0];
    EXPECT_EQ(before.at("rules")[0].at("rule"), "first");
    EXPECT_EQ(weir.get("/v1/top").at("keys")[0].at("rule"), "first");
}

TEST_F(admin_api, the_configuration_is_shown_without_its_secrets) {
    auto c = with_limits(up_.port(), {hourly("per-user", 2)});
    c.admin_token = token;
    auto const weir = start(std::move(c));
    auto const shown = weir.connect().get("/v1/config", std::string("Authorization: Bearer ") + token + "\r\n");
    EXPECT_EQ(shown.status, 200);
    EXPECT_THAT(shown.body, Not(HasSubstr(token)));
    auto const document = json::parse(shown.body);
    EXPECT_EQ(document.at("admin").at("token"), "***");
    EXPECT_EQ(document.at("limits").at("per-user").at("limit"), 2);
}

TEST_F(admin_api, with_a_token_nothing_but_health_and_the_empty_page_is_told_without_it) {
    auto c = with_limits(up_.port(), {hourly("per-user", 2)});
    c.admin_token = token;
    auto const weir = start(std::move(c));
    for (auto const* path :
         {"/metrics", "/v1/status", "/v1/top", "/v1/explain", "/v1/config", "/v1/limits/per-user/a", "/v1/nothing"}) {
        EXPECT_EQ(weir.ask(path).status, 401) << path;
        EXPECT_EQ(weir.ask(path).field("WWW-Authenticate"), "Bearer") << path;
        EXPECT_EQ(weir.connect().get(path, "Authorization: Bearer 0123456789abcdef-tokem\r\n").status, 401) << path;
    }
    EXPECT_EQ(weir.post("/v1/limits/per-user/alice/reset").status, 401);
    for (auto const* path : {"/", "/healthz", "/readyz"})
        EXPECT_EQ(weir.ask(path).status, 200) << path;
    auto const named = weir.connect().exchange(std::string("GET /v1/status HTTP/1.1\r\nHost: weir.example\r\n"
                                                           "Authorization: Bearer ") +
                                               token + "\r\n\r\n");
    EXPECT_EQ(named.status, 200) << "with a token it may be called by any name";
}

TEST_F(admin_api, without_a_token_no_page_of_another_site_gets_at_it) {
    auto const weir = start({hourly("per-user", 2)});
    auto const as = [&](std::string const& host) {
        return weir.connect().exchange("GET /v1/status HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status;
    };
    for (auto const* host : {"127.0.0.1", "127.0.0.1:9900", "localhost", "LOCALHOST:9900", "[::1]:9900"})
        EXPECT_EQ(as(host), 200u) << host;
    for (auto const* host : {"rebound.example", "127.0.0.1.example:9900", "", "localhost.example"})
        EXPECT_EQ(as(host), 421u) << host << ": a name that somebody pointed here";
    auto const target = "/v1/limits/per-user/alice/reset";
    EXPECT_EQ(weir.post(target).status, 200);
    EXPECT_EQ(weir.post(target, "Origin: http://127.0.0.1\r\n").status, 200);
    EXPECT_EQ(weir.post(target, "Sec-Fetch-Site: same-origin\r\n").status, 200);
    EXPECT_EQ(weir.post(target, "Origin: http://evil.example\r\n").status, 403);
    EXPECT_EQ(weir.post(target, "Origin: null\r\n").status, 403);
    EXPECT_EQ(weir.post(target, "Sec-Fetch-Site: cross-site\r\n").status, 403);
}

TEST_F(admin_api, the_page_runs_nothing_but_itself) {
    auto const weir = start({hourly("per-user", 2)});
    auto const page = weir.ask("/");
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.field("Content-Type"), "text/html; charset=utf-8");
    EXPECT_EQ(page.field("X-Content-Type-Options"), "nosniff");
    auto const policy = page.field("Content-Security-Policy");
    EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
    EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
    EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
    // Nothing from elsewhere, and no way for text to become markup.
    for (auto const* never : {"src=\"", "href=\"http", "url(http", "@import", "innerHTML", "outerHTML",
                              "insertAdjacent", "document.write", "eval(", "onclick=", "style=\""})
        EXPECT_THAT(page.body, Not(HasSubstr(never))) << never;
}

TEST_F(admin_api, redis_speaks_for_itself_in_the_metrics) {
    auto const weir = start({hourly("per-user", 2)});
    auto const scrape = [&] { return weir.ask("/metrics").body; };
    while (scrape().find("weir_redis_used_memory_bytes") == std::string::npos) {
    }
    auto const metrics = scrape();
    for (auto const* name :
         {"weir_redis_ops_per_second ", "weir_redis_evicted_keys_total 0", "weir_redis_connected_clients "})
        EXPECT_THAT(metrics, HasSubstr(name));
    EXPECT_GT(weir.get("/v1/status").at("redis").at("info").at("used_memory"), 100'000);
    EXPECT_EQ(weir.get("/v1/status").at("redis").at("info").at("role"), "master");
}

TEST_F(admin_api, streams_are_counted_by_how_they_ended) {
    upstream streams([](upstream::connection& c) {
        auto const asked = c.read();
        c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                "8\r\ndata: 1\n\r\n");
        if (asked.target() == "/whole")
            c.write("0\r\n\r\n");
        else if (asked.target() == "/cut")
            c.close();
        else
            c.wait_for_close();
    });
    auto c = with_limits(streams.port(), {});
    c.upstreams.front().idle_timeout = std::chrono::milliseconds{300};
    auto const weir = start(std::move(c));
    auto const counted = [&](std::string const& outcome, int n) {
        auto const line = "weir_stream_outcomes_total{route=\"all\",outcome=\"" + outcome + "\"} " + std::to_string(n);
        return weir.ask("/metrics").body.find(line + '\n') != std::string::npos;
    };
    EXPECT_TRUE(weir.proxy.connect().get("/whole").complete);
    EXPECT_FALSE(weir.proxy.connect().get("/cut").complete);
    EXPECT_FALSE(weir.proxy.connect().get("/silent").complete);
    auto leaving = weir.proxy.connect();
    leaving.send("GET /left HTTP/1.1\r\nHost: weir\r\n\r\n");
    leaving.read_until("data: 1");
    leaving.reset();
    while (!counted("client_gone", 1) && !counted("idle_timeout", 2)) {
    }
    for (auto const* outcome : {"complete", "cut_short", "idle_timeout", "client_gone"})
        EXPECT_TRUE(counted(outcome, 1)) << outcome;
}

} // namespace
} // namespace weir::test
