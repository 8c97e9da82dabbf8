#include "support/http_client.hpp"
#include "support/nginx_server.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <fstream>
#include <optional>
#include <thread>

// A real nginx with deploy/nginx/weir.conf, the addresses in it replaced, in front of an upstream; and a real weir that
// it asks.

namespace weir::test {
namespace {

using testing::HasSubstr;

void replace_all(std::string& text, std::string const& what, std::string const& by) {
    auto at = text.find(what);
    ASSERT_NE(at, text.npos) << what;
    for (; at != text.npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
}

class decision_nginx : public testing::Test {
protected:
    void start_weir(nlohmann::json const& limit) {
        nlohmann::json const config{
            {"admin", {{"address", "127.0.0.1:0"}}},
            {"decision", {{"address", "127.0.0.1:0"}}},
            {"redis", {{"url", redis_.url()}}},
            {"trusted_proxies", {"127.0.0.0/8"}},
            {"identity", {{{"header", "x-user-id"}}, "ip"}},
            {"limits", {{"per-user", limit}}},
            {"routes",
             {{{"name", "free"}, {"path", "/free"}}, {{"name", "all"}, {"path", "/v1/*"}, {"limits", {"per-user"}}}}},
            {"access_log", "off"}};
        std::ofstream(directory_.path() + "/weir.json") << config;
        weir_.emplace(std::vector<std::string>{"serve", "--config", directory_.path() + "/weir.json"});
        weir_port_ = endpoint_in(weir_->wait_for_error_line("deciding at http://127.0.0.1:")).port();
    }

    void start_nginx() {
        std::ifstream file(source_path("deploy/nginx/weir.conf"));
        std::string server(std::istreambuf_iterator<char>(file), {});
        nginx_port_ = free_port();
        replace_all(server, "127.0.0.1:9901", "127.0.0.1:" + std::to_string(weir_port_));
        replace_all(server, "127.0.0.1:9000", "127.0.0.1:" + std::to_string(up_.port()));
        replace_all(server, "listen 8080", "listen 127.0.0.1:" + std::to_string(nginx_port_));
        nginx_.emplace(server);
    }

    void start(nlohmann::json const& limit) {
        start_weir(limit);
        start_nginx();
    }

    http_client connect() const { return http_client({boost::asio::ip::address_v4::loopback(), nginx_port_}); }

    static nlohmann::json hourly(int limit) { return {{"limit", limit}, {"window", "1h"}}; }

    temporary_directory directory_;
    redis_server redis_;
    upstream up_{upstream::always("served")};
    std::optional<program> weir_;
    std::optional<nginx_server> nginx_;
    std::uint16_t weir_port_ = 0;
    std::uint16_t nginx_port_ = 0;
};

TEST_F(decision_nginx, a_client_gets_429_with_retry_after_and_keeps_its_connection) {
    start(hourly(2));
    auto client = connect();
    auto const first = client.get("/v1/chat?x=1", "X-User-Id: alice\r\n");
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.body, "served");
    EXPECT_EQ(first.field("RateLimit"), R"("per-user";r=1;t=3600)");
    EXPECT_EQ(first.field("RateLimit-Policy"), R"("per-user";q=2;w=3600)");
    EXPECT_EQ(client.get("/v1//chat/", "X-User-Id: alice\r\n").status, 200);
    auto const refused = client.get("/v1/chat", "X-User-Id: alice\r\n");
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.field("Retry-After"), "3600");
    EXPECT_EQ(refused.field("RateLimit"), R"("per-user";r=0;t=3600)");
    EXPECT_EQ(refused.field("Content-Type"), "application/problem+json");
    EXPECT_FALSE(refused.close);
    auto const problem = nlohmann::json::parse(refused.body);
    EXPECT_EQ(problem.at("status"), 429);
    EXPECT_EQ(problem.at("request_id"), refused.field("X-Request-Id"));
    EXPECT_EQ(client.get("/v1/chat", "X-User-Id: bob\r\n").status, 200);
    EXPECT_EQ(client.exchange("POST /v1/chat HTTP/1.1\r\nHost: a\r\nX-User-Id: carol\r\nContent-Length: 5\r\n\r\nhello")
                  .status,
              200);
    EXPECT_EQ(client.get("/free").status, 200);
    EXPECT_EQ(client.get("/elsewhere").status, 403); // no route
}

TEST_F(decision_nginx, nothing_that_a_client_sends_makes_it_another_request_or_another_client) {
    start(hourly(1));
    auto client = connect();
    EXPECT_EQ(client.get("/v1/chat").status, 200);
    for (auto const* forged :
         {"X-Original-URI: /free\r\n", "X-Original-URL: http://a/free\r\n", "X-Forwarded-Uri: /free\r\n",
          "X-Original-Method: PUT\r\n", "X-Forwarded-Method: PUT\r\n", "X-Forwarded-For: 192.0.2.1\r\n",
          "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n"})
        EXPECT_EQ(client.get("/v1/chat", forged).status, 429) << forged;
    // Forwarded and X-Real-IP are not looked at beside X-Forwarded-For.
    EXPECT_EQ(client.get("/v1/chat", "Forwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n").status, 429);
}

TEST_F(decision_nginx, admits_exactly_the_limit_from_many_clients_at_once) {
    start(hourly(100));
    std::atomic<int> admitted{0}, refused{0}, other{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t)
        threads.emplace_back([&] {
            auto client = connect();
            for (int i = 0; i < 25; ++i) {
                auto const status = client.get("/v1/chat", "X-User-Id: alice\r\n").status;
                ++(status == 200 ? admitted : status == 429 ? refused : other);
            }
        });
    for (auto& each : threads)
        each.join();
    EXPECT_EQ(admitted, 100);
    EXPECT_EQ(refused, 300);
    EXPECT_EQ(other, 0);
}

TEST_F(decision_nginx, a_redis_that_is_killed_changes_who_decides_and_not_that_it_is_decided) {
    start(hourly(3));
    auto client = connect();
    EXPECT_EQ(client.get("/v1/chat").status, 200);
    redis_.kill();
    int admitted = 0;
    for (int i = 0; i < 10; ++i) {
        auto const status = client.get("/v1/chat").status;
        admitted += status == 200;
        EXPECT_TRUE(status == 200 || status == 429) << status;
    }
    EXPECT_EQ(admitted, 3);
}

TEST_F(decision_nginx, a_limit_that_cannot_be_checked_and_a_weir_that_is_gone_are_503) {
    auto limit = hourly(3);
    limit["on_redis_failure"] = "closed";
    start(limit);
    auto client = connect();
    EXPECT_EQ(client.get("/v1/chat").status, 200);
    redis_.kill();
    auto const closed = client.get("/v1/chat");
    EXPECT_EQ(closed.status, 503);
    EXPECT_NE(closed.field("Retry-After"), "");
    EXPECT_EQ(client.get("/free").status, 200);
    weir_.reset();
    auto other = connect();
    auto const gone = other.get("/free");
    EXPECT_EQ(gone.status, 503);
    EXPECT_THAT(gone.body, HasSubstr("Service Unavailable"));
}

} // namespace
} // namespace weir::test
