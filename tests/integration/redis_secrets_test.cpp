#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_sentinels.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

// Passwords of Redis appear in nothing that the program says, whether they are right or wrong.

namespace weir::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char secret[] = "hunter2-ocean";

boost::asio::ip::tcp::endpoint endpoint_in(std::string const& line) {
    auto const port = std::stoi(line.substr(line.rfind("127.0.0.1:") + 10));
    return {boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)};
}

std::vector<std::string> serve(std::vector<std::string> const& more) {
    std::vector<std::string> all{"serve",   "--listen",    "127.0.0.1:0", "--upstream", "http://127.0.0.1:1",
                                 "--admin", "127.0.0.1:0", "--workers",   "2",          "--limit",
                                 "1000/1h", "--log-level", "debug"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

/// Serves, through an outage of Redis, with metrics, and ends it; everything it said.
std::string said_while_serving(std::vector<std::string> const& arguments, program::variables const& environment,
                               redis_server& redis) {
    program weir(arguments, environment);
    auto const at = endpoint_in(weir.wait_for_error_line("listening on 127.0.0.1:"));
    auto const admin = endpoint_in(weir.wait_for_error_line("\"event\":\"admin_listening\""));
    std::string said;
    auto const look = [&] {
        for (auto const* path : {"/metrics", "/readyz", "/healthz", "/"}) {
            auto const answer = http_client(admin).get(path);
            said += answer.body;
        }
        auto const answer = http_client(at).get("/");
        said += answer.body;
    };
    look();
    redis.kill();
    look();
    weir.wait_for_error_line("redis");
    redis.restart();
    look();
    weir.signal(SIGTERM);
    weir.wait();
    EXPECT_THAT(said, HasSubstr("weir_redis")) << "these are metrics";
    return said + weir.out() + weir.err();
}

TEST(redis_secrets, the_right_password_is_in_no_log_answer_or_metric) {
    redis_server redis({.tcp = true, .password = secret, .arguments = {}});
    auto const port = std::to_string(redis.port());
    auto const by_url = said_while_serving(
        serve({"--redis", "redis://default:" + std::string(secret) + "@127.0.0.1:" + port}), {}, redis);
    EXPECT_THAT(by_url, Not(HasSubstr(secret)));
    auto const by_environment =
        said_while_serving(serve({"--redis", redis.tcp_url()}), {{"REDIS_PASSWORD", secret}}, redis);
    EXPECT_THAT(by_environment, Not(HasSubstr(secret)));
    for (auto const* json : {"--json", "--no-json"}) {
        std::vector<std::string> arguments{"doctor", "--redis", redis.tcp_url(), "--timeout", "10s"};
        if (json == std::string("--json"))
            arguments.emplace_back(json);
        auto const doctor = run_program(arguments, {{"REDIS_PASSWORD", secret}});
        EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
        EXPECT_THAT(doctor.out + doctor.err, Not(HasSubstr(secret)));
    }
}

TEST(redis_secrets, a_wrong_password_ends_each_command_with_a_clear_line_that_does_not_repeat_it) {
    redis_server redis({.tcp = true, .password = "open sesame", .arguments = {}});
    redis_server echoing({.tcp = true, .password = {}, .arguments = {"--rename-command", "AUTH", ""}});
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    for (auto* server : {&redis, &echoing}) {
        auto const url = "redis://weir:" + std::string(secret) + "@127.0.0.1:" + std::to_string(server->port());
        std::ofstream(file) << R"({"listen": [{"address": "127.0.0.1:0"}], "redis": {"url": ")" << url << R"("},
            "limits": {"a": {"limit": 1, "window": "1s"}}, "upstreams": {"u": {"targets": ["http://127.0.0.1:1"]}},
            "routes": [{"name": "r", "path": "/*", "upstream": "u", "limits": ["a"]}]})";
        for (auto const& arguments :
             {serve({"--redis", url}),
              {"serve", "--config", file},
              {"doctor", "--redis", url},
              {"doctor", "--redis", url, "--json"},
              {"doctor", "--config", file},
              {"config", "check", file},
              {"config", "show", file},
              {"check", "--redis", url, "--user", "u", "--endpoint", "e", "--limit", "1/1s"},
              {"limit", "peek", "--redis", url, "--user", "u", "--endpoint", "e", "--limit", "1/1s"}}) {
            auto const result = run_program(arguments);
            EXPECT_THAT(result.out + result.err, Not(HasSubstr(secret))) << testing::PrintToString(arguments);
            if (arguments.front() != "config") {
                EXPECT_EQ(result.code, 2) << testing::PrintToString(arguments);
                EXPECT_THAT(result.out + result.err, testing::ContainsRegex("WRONGPASS|wrong.*password|AUTH"))
                    << testing::PrintToString(arguments);
            }
        }
    }
}

TEST(redis_secrets, urls_that_are_none_and_passwords_of_sentinels_are_not_repeated) {
    redis_sentinels group("hush");
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    std::ofstream(file) << R"({"listen": [{"address": "127.0.0.1:0"}], "admin": {"address": "127.0.0.1:0"},
        "redis": {"url": "redis://:${GROUP}@", "mode": "sentinel", "master": "group", "timeout": "5s",
                  "sentinels": ["127.0.0.1:)"
                        << group.port(0) << R"(", "127.0.0.1:)" << group.port(1) << R"("],
                  "sentinel_password": "${WATCH}"},
        "limits": {"a": {"limit": 100, "window": "1h"}}, "upstreams": {"u": {"targets": ["http://127.0.0.1:1"]}},
        "routes": [{"name": "r", "path": "/*", "upstream": "u", "limits": ["a"]}]})";
    program::variables const right{{"GROUP", "hush"}, {"WATCH", "watch-hush"}};
    auto const doctor = run_program({"doctor", "--config", file}, right);
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
    EXPECT_THAT(doctor.out, HasSubstr("is the master of group"));
    auto const shown = run_program({"config", "show", file}, right);
    EXPECT_THAT(shown.out, HasSubstr("\"master\": \"group\""));
    for (auto const& wrong : {program::variables{{"GROUP", "hush"}, {"WATCH", secret}},
                              program::variables{{"GROUP", secret}, {"WATCH", "watch-hush"}}})
        for (auto const& arguments : std::vector<std::vector<std::string>>{
                 {"serve", "--config", file}, {"doctor", "--config", file}, {"doctor", "--config", file, "--json"}}) {
            auto const result = run_program(arguments, wrong);
            EXPECT_EQ(result.code, 2) << result.out << result.err;
            EXPECT_THAT(result.out + result.err, testing::AllOf(Not(HasSubstr(secret)), HasSubstr("WRONGPASS")));
        }
    for (auto const& text : {doctor.out, doctor.err, shown.out})
        EXPECT_THAT(text, Not(HasSubstr("hush")));
    for (auto const& url : {"redis://:" + std::string(secret) + "@host:port", "http://:" + std::string(secret) + "@h",
                            "redis://:" + std::string(secret) + "@h/x y", "redis://" + std::string(secret) + "@h?db=x",
                            "redis://h?sentinel_password=" + std::string(secret)}) {
        auto const result = run_program({"doctor", "--redis", url});
        EXPECT_EQ(result.code, 2);
        EXPECT_THAT(result.out + result.err, Not(HasSubstr(secret))) << url;
    }
}

} // namespace
} // namespace weir::test
