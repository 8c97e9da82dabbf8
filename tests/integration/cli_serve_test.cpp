#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>

// `weir serve` and `weir demo`, the real program from its start to its end.

namespace {

using namespace weir::test;
using nlohmann::json;
using testing::HasSubstr;

boost::asio::ip::tcp::endpoint listening(program& weir) {
    auto line = weir.wait_for_error_line("listening on 127.0.0.1:");
    auto port = std::stoi(line.substr(line.rfind("127.0.0.1:") + 10));
    return {boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)};
}

/// Arguments of a proxy on a free port in front of nobody.
std::vector<std::string> serve(std::vector<std::string> more) {
    std::vector<std::string> all{
        "serve",   "--listen",    "127.0.0.1:0", "--upstream", "http://127.0.0.1:" + std::to_string(dead_port()),
        "--admin", "127.0.0.1:0", "--workers",   "1",          "--access-log",
        "off"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

TEST(cli_serve, flags_alone_serve_with_a_private_redis_and_a_signal_ends_it) {
    program weir(serve({"--limit", "2/1h"}));
    auto client = http_client(listening(weir));
    EXPECT_THAT(weir.err(), HasSubstr("no Redis was named: started a private redis-server"));
    EXPECT_EQ(client.get("/").status, 502) << "there is no upstream, but the limit admits";
    EXPECT_EQ(client.get("/").status, 502);
    auto refused = client.get("/");
    EXPECT_EQ(refused.status, 429);
    EXPECT_THAT(refused.body, HasSubstr("2-per-1h"));
    client.close();
    weir.signal(SIGHUP);
    weir.wait_for_error_line("started without --config: there is no file to read again");
    weir.signal(SIGTERM);
    EXPECT_EQ(weir.wait(), 0) << weir.err();
    std::istringstream lines(weir.err());
    for (std::string line; std::getline(lines, line);) {
        auto object = json::parse(line);
        EXPECT_TRUE(object.contains("time") && object.contains("level") && object.contains("message")) << line;
    }
}

TEST(cli_serve, the_admin_side_tells_metrics_and_readiness) {
    redis_server redis;
    program weir(serve({"--limit", "1/1h", "--redis", redis.url()}));
    EXPECT_EQ(http_client(listening(weir)).get("/").status, 502);
    auto line = weir.wait_for_error_line("\"event\":\"admin_listening\"");
    auto port = std::stoi(line.substr(line.rfind("127.0.0.1:") + 10));
    boost::asio::ip::tcp::endpoint admin(boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port));
    EXPECT_EQ(http_client(admin).get("/readyz").status, 200);
    EXPECT_THAT(http_client(admin).get("/metrics").body,
                HasSubstr("weir_ratelimit_decisions_total{rule=\"1-per-1h\",outcome=\"allow\"} 1"));
}

TEST(cli_serve, instances_and_the_command_line_share_one_count) {
    redis_server redis;
    program one(serve({"--limit", "3/1h", "--redis", redis.url()}));
    program other(serve({"--limit", "3/1h", "--redis", redis.url()}));
    EXPECT_EQ(http_client(listening(one)).get("/").status, 502);
    EXPECT_EQ(http_client(listening(other)).get("/").status, 502);
    EXPECT_EQ(
        run_program({"check", "--user", "127.0.0.1", "--endpoint", "all", "--limit", "3/1h", "--redis", redis.url()})
            .code,
        0);
    EXPECT_EQ(http_client(listening(one)).get("/").status, 429);
    EXPECT_EQ(http_client(listening(other)).get("/").status, 429);
}

std::string busy(std::string const& what, std::string const& where) {
    return "weir: " + what + " is in use: stop the program that listens there, or choose another address with " +
           where + "\n";
}

TEST(cli_serve, a_busy_port_is_one_line_that_names_the_flag) {
    program first(serve({}));
    auto at = listening(first);
    auto address = "127.0.0.1:" + std::to_string(at.port());
    auto second = run_program({"serve", "--listen", address, "--upstream", "http://127.0.0.1:1", "--admin",
                               "127.0.0.1:0", "--log-level", "error"});
    EXPECT_EQ(second.code, 2);
    EXPECT_EQ(second.err, busy(address, "--listen"));
    auto third = run_program({"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1", "--admin",
                              address, "--log-level", "error"});
    EXPECT_EQ(third.code, 2);
    EXPECT_EQ(third.err, busy("the admin address " + address, "--admin"));
}

TEST(cli_serve, a_busy_port_is_one_line_that_names_the_place_in_the_file) {
    program first(serve({}));
    auto address = "127.0.0.1:" + std::to_string(listening(first).port());
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    auto start = [&](json const& listen, std::string const& admin) {
        std::ofstream(file) << json{{"listen", listen},
                                    {"admin", {{"address", admin}}},
                                    {"upstreams", {{"up", {{"targets", {"http://127.0.0.1:1"}}}}}},
                                    {"routes", {{{"name", "all"}, {"path", "/*"}, {"upstream", "up"}}}}};
        return run_program({"serve", "--config", file, "--log-level", "error"});
    };
    json const free{{"address", "127.0.0.1:0"}};
    EXPECT_EQ(start(json::array({free, {{"address", address}}}), "127.0.0.1:0").err,
              busy(address, "/listen/1/address in " + file));
    EXPECT_EQ(start(json::array({free}), address).err,
              busy("the admin address " + address, "/admin/address in " + file));
    EXPECT_EQ(
        run_program({"serve", "--config", file, "--listen", address, "--admin", "127.0.0.1:0", "--log-level", "error"})
            .err,
        busy(address, "--listen"));
}

TEST(cli_serve, an_absent_redis_server_is_one_line_that_names_the_package) {
    for (auto const& command : {serve({"--limit", "1/s"}), std::vector<std::string>{"demo"}}) {
        auto result = run_program(command, {{"PATH", "/nonexistent"}});
        EXPECT_EQ(result.code, 2);
        EXPECT_THAT(result.err, HasSubstr("redis-server is not installed: apt-get install redis-server"));
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    }
}

TEST(cli_serve, redis_may_be_away_at_the_start_only_where_that_is_allowed) {
    auto dead = "redis://127.0.0.1:" + std::to_string(dead_port());
    program weir(serve({"--limit", "1/1h", "--redis", dead, "--allow-redis-down", "--on-redis-failure", "closed"}));
    auto at = listening(weir);
    EXPECT_THAT(weir.err(), HasSubstr("starting without it, each limit decides by on_redis_failure"));
    EXPECT_EQ(http_client(at).get("/").status, 503);
}

TEST(cli_serve, every_wrong_flag_is_named) {
    auto result = run_program({"serve", "--listen", "local:80", "--upstream", "ftp://a", "--limit", "x", "--per", "usr",
                               "--identity", "cookie", "--workers", "-1"});
    EXPECT_EQ(result.code, 1);
    for (auto flag : {"--listen: ", "--upstream: ", "--limit: ", "--per: ", "--identity: ", "--workers: "})
        EXPECT_THAT(result.err, HasSubstr(std::string("weir serve: ") + flag));
    auto as_json = run_program({"serve", "--listen", "local:80", "--upstream", "http://a", "--json"});
    EXPECT_EQ(as_json.code, 1);
    EXPECT_EQ(json::parse(as_json.err)["pointer"], "--listen");
}

TEST(cli_serve, the_demo_keeps_its_promises) {
    auto result = run_program({"demo", "--json"});
    EXPECT_EQ(result.code, 0) << result.out << result.err;
    auto report = json::parse(result.out);
    EXPECT_EQ(report["kept"], true);
    EXPECT_EQ(report["users"].size(), 5U);
    EXPECT_GT(report["decisions"]["deny"], 0);
    for (auto const& promise : report["promises"])
        EXPECT_EQ(promise["kept"], true) << promise["promise"];
}

} // namespace
