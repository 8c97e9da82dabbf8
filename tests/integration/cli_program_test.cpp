#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>

// The real program as a child process, against real servers.

namespace {

using namespace weir::test;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// One line, and nothing after it.
MATCHER(IsOneLine, "") { return std::count(arg.begin(), arg.end(), '\n') == 1 && arg.back() == '\n'; }

std::string write_file(temporary_directory const& where, std::string const& text) {
    auto path = where.path() + "/weir.json";
    std::ofstream(path) << text;
    return path;
}

TEST(cli_program, help_names_every_command_and_version_says_what_it_is_built_with) {
    auto help = run_program({"--help"});
    EXPECT_EQ(help.code, 0);
    for (auto command : {"serve", "demo", "check", "limit", "config", "doctor", "REDIS_URL", "Exit codes"})
        EXPECT_THAT(help.out, HasSubstr(command));
    EXPECT_THAT(run_program({"--version"}).out, StartsWith("weir 0."));
    for (auto const& command : std::vector<std::vector<std::string>>{{"serve", "--help"},
                                                                     {"demo", "--help"},
                                                                     {"check", "--help"},
                                                                     {"limit", "peek", "--help"},
                                                                     {"limit", "reset", "--help"},
                                                                     {"limit", "refund", "--help"},
                                                                     {"config", "check", "--help"},
                                                                     {"config", "show", "--help"},
                                                                     {"doctor", "--help"}}) {
        auto one = run_program(command);
        EXPECT_EQ(one.code, 0) << command.front();
        EXPECT_THAT(one.out, AllOf(HasSubstr("--json"), HasSubstr("Example"))) << command.front();
    }
}

TEST(cli_program, what_it_does_not_understand_is_one_line_and_exit_code_2) {
    auto typo = run_program({"chekc"});
    EXPECT_EQ(typo.code, 2);
    EXPECT_EQ(typo.err, "weir: there is no command \"chekc\"; did you mean \"check\"?: see weir --help\n");
    for (auto const& wrong : std::vector<std::vector<std::string>>{
             {},
             {"check"},
             {"check", "--user", "a", "--endpoint", "b"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "x"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--cost", "-1"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--limit", "1/1s"},
             {"check", "--user", "a", "--endpoint", "b", "--rule", "r"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--algorithm", "leaky"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--burst", "5"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--algorithm", "token_bucket", "--burst",
              "0"},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "10001/s", "--algorithm", "concurrency"},
             {"limit", "refund", "--user", "a", "--endpoint", "b", "--limit", "1/s"},
             {"limit", "refund", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--units", "0"},
             {"limit", "refund", "--user", "a", "--endpoint", "b", "--units", "1"},
             {"limit", "peek", "--nope"},
             {"serve"},
             {"config", "check"},
             {"serve", "--config", "/nonexistent"}}) {
        auto result = run_program(wrong);
        EXPECT_EQ(result.code, 2) << testing::PrintToString(wrong);
        EXPECT_THAT(result.err, AllOf(StartsWith("weir: "), IsOneLine())) << testing::PrintToString(wrong);
        EXPECT_EQ(result.out, "") << testing::PrintToString(wrong);
    }
    auto as_json = json::parse(run_program({"check", "--json"}).err);
    EXPECT_EQ(as_json["error"]["code"], "usage");
}

TEST(cli_program, check_admits_as_many_as_the_limit_says_and_its_exit_code_tells) {
    redis_server redis;
    program::variables environment{{"REDIS_URL", redis.url()}};
    std::vector<std::string> check{"check", "--user", "alice", "--endpoint", "/v1/chat", "--limit", "2/1h"};
    auto first = run_program(check, environment);
    EXPECT_EQ(first.code, 0) << first.err;
    EXPECT_THAT(first.out, StartsWith("allowed: alice at /v1/chat\n  2-per-1h, sliding_window: 1 of 2 left in 1h"));
    EXPECT_EQ(run_program(check, environment).code, 0);
    auto third = run_program(check, environment);
    EXPECT_EQ(third.code, 1);
    EXPECT_THAT(third.out, StartsWith("refused: alice at /v1/chat by 2-per-1h, for another 59 m"));

    check.push_back("--json");
    auto as_json = json::parse(run_program(check, environment).out);
    EXPECT_EQ(as_json["allowed"], false);
    EXPECT_EQ(as_json["binding"], "2-per-1h");
    EXPECT_GT(as_json["retry_after_ms"], 3'500'000);
    EXPECT_EQ(as_json["rules"][0]["remaining"], 0);

    check.insert(check.end(), {"--cost", "3"});
    EXPECT_TRUE(json::parse(run_program(check, environment).out)["retry_after_ms"].is_null()) << "never";
}

TEST(cli_program, peek_does_not_count_and_reset_forgets) {
    redis_server redis;
    std::vector<std::string> which{"--user", "bob", "--endpoint", "x", "--limit", "1/1h", "--redis", redis.url()};
    auto with = [&](std::vector<std::string> command) {
        command.insert(command.end(), which.begin(), which.end());
        return run_program(command);
    };
    EXPECT_EQ(with({"limit", "peek"}).code, 0);
    EXPECT_EQ(with({"limit", "peek"}).code, 0);
    EXPECT_EQ(with({"check"}).code, 0);
    EXPECT_EQ(with({"limit", "peek"}).code, 1);
    EXPECT_EQ(with({"limit", "reset"}).out, "forgotten: bob at x\n");
    EXPECT_EQ(with({"limit", "reset"}).out, "nothing was counted: bob at x\n");
    EXPECT_EQ(with({"check"}).code, 0);
    EXPECT_EQ(run_program({"limit", "reset", "--user", "bob", "--endpoint", "x", "--redis", redis.url(), "--json"}).out,
              "{\n  \"user\": \"bob\",\n  \"endpoint\": \"x\",\n  \"forgotten\": 1\n}\n");
}

TEST(cli_program, check_counts_by_the_algorithm_that_is_asked_for) {
    redis_server redis;
    auto const check = [&](std::vector<std::string> further) {
        std::vector<std::string> command{"check", "--user", "alice", "--endpoint", "x", "--redis", redis.url()};
        command.insert(command.end(), further.begin(), further.end());
        return run_program(command);
    };
    std::vector<std::string> const bucket{"--limit", "1/1h", "--algorithm", "token_bucket",
                                          "--burst", "3",    "--cost",      "2"};
    auto first = check(bucket);
    EXPECT_EQ(first.code, 0) << first.err;
    EXPECT_THAT(first.out, HasSubstr("1-per-1h-token_bucket, token_bucket: 1 of 3 left, full again in at most 3h"));
    EXPECT_EQ(check(bucket).code, 1);
    EXPECT_EQ(check({"--limit", "1/1h"}).code, 0) << "a sliding window counts apart";

    std::vector<std::string> const places{"--limit", "1/1h", "--algorithm", "concurrency", "--json"};
    auto held = json::parse(check(places).out);
    EXPECT_EQ(held["allowed"], true);
    EXPECT_EQ(held["request_id"].get<std::string>().size(), 32U);
    EXPECT_EQ(held["rules"][0]["algorithm"], "concurrency");
    auto busy = check(places);
    EXPECT_EQ(busy.code, 1) << "the place is taken for an hour";
    EXPECT_GT(json::parse(busy.out)["retry_after_ms"], 3'500'000);

    EXPECT_THAT(check({"--limit", "1/s", "--algorithm", "token-bucket"}).err,
                HasSubstr(R"(--algorithm: unknown value "token-bucket"; did you mean "token_bucket"?)"));
    EXPECT_THAT(check({"--limit", "1/s", "--burst", "5"}).err,
                HasSubstr("burst belongs to a token_bucket: add --algorithm token_bucket"));
    EXPECT_THAT(check({"--rule", "r", "--config", "f", "--burst", "5"}).err,
                HasSubstr("--burst belongs to --limit: a --rule has its own"));
}

TEST(cli_program, refund_takes_back_what_was_charged_and_no_more) {
    redis_server redis;
    std::vector<std::string> const which{"--user",  "alice", "--endpoint", "x",
                                         "--limit", "3/1h",  "--redis",    redis.url()};
    auto with = [&](std::vector<std::string> command) {
        command.insert(command.end(), which.begin(), which.end());
        return run_program(command);
    };
    EXPECT_EQ(with({"check", "--cost", "3"}).code, 0);
    EXPECT_EQ(with({"limit", "refund", "--units", "2"}).out, "refunded 2: alice at x\n");
    EXPECT_EQ(with({"check", "--cost", "2"}).code, 0);
    EXPECT_EQ(with({"check"}).code, 1);
    EXPECT_EQ(json::parse(with({"limit", "refund", "--units", "9", "--json"}).out)["refunded"], 3);
    EXPECT_EQ(with({"limit", "refund", "--units", "1"}).out, "nothing was counted: alice at x\n");
    auto const place = with({"limit", "refund", "--units", "1", "--algorithm", "concurrency"});
    EXPECT_EQ(place.code, 2);
    EXPECT_THAT(place.err, AllOf(IsOneLine(), HasSubstr("counts what is in flight: nothing to refund")));
}

TEST(cli_program, the_answer_tells_of_the_lists_and_terms_of_the_user) {
    redis_server redis;
    temporary_directory directory;
    auto file = write_file(directory, R"({"listen":[{"address":"127.0.0.1:0"}],"redis":{"url":")" + redis.url() + R"("},
        "limits":{"a":{"limit":1,"window":"1h","overrides":{"big":50},"allow":["friend"],"deny":["foe"]},
                  "trial":{"limit":0,"window":"1h","shadow":true}},
        "upstreams":{"u":{"targets":["http://127.0.0.1:1"]}},
        "routes":[{"name":"r","path":"/*","upstream":"u","limits":["a","trial"]}]})");
    auto check = [&](std::string user, std::vector<std::string> further = {}) {
        std::vector<std::string> command{"check", "--user", user, "--endpoint", "r", "--rule", "a", "--config", file};
        command.insert(command.end(), further.begin(), further.end());
        return run_program(command);
    };
    EXPECT_THAT(check("big").out, HasSubstr("49 of 50 left in 1h"));
    EXPECT_THAT(check("friend").out, HasSubstr("a, sliding_window: the user is on its allow list"));
    auto foe = check("foe");
    EXPECT_EQ(foe.code, 1);
    EXPECT_THAT(foe.out, AllOf(StartsWith("refused: foe at r by a, for ever: the user is on its deny list\n"),
                               HasSubstr("a, sliding_window: the user is on its deny list")));
    auto as_json = json::parse(check("foe", {"--json"}).out)["rules"][0];
    EXPECT_EQ(as_json["listed"], true);
    EXPECT_EQ(as_json["outcome"], "deny");
    EXPECT_THAT(check("other", {"--rule", "trial"}).out,
                AllOf(StartsWith("allowed: other at r\n"), HasSubstr("trial, sliding_window, on trial: 0 of 0 left")));
    EXPECT_EQ(run_program({"limit", "refund", "--user", "friend", "--endpoint", "r", "--rule", "a", "--config", file,
                           "--units", "1"})
                  .out,
              "nothing was counted: friend at r\n");
}

TEST(cli_program, check_takes_rules_and_redis_from_a_configuration_file) {
    redis_server redis;
    temporary_directory directory;
    auto file = write_file(directory, R"({"listen":[{"address":"127.0.0.1:0"}],"redis":{"url":")" + redis.url() +
                                          R"(","key_prefix":"app:"},
        "limits":{"path":{"per":["user"],"endpoint":"path","limit":1,"window":"1h"},
                  "team":{"per":["*"],"endpoint":"*","limit":1,"window":"1h"}},
        "upstreams":{"u":{"targets":["http://127.0.0.1:1"]}},
        "routes":[{"name":"r","path":"/*","upstream":"u","limits":["team"]}]})");
    auto check = [&](std::string user, std::string rule) {
        return run_program({"check", "--user", user, "--endpoint", "e-" + user, "--rule", rule, "--config", file});
    };
    EXPECT_EQ(check("a", "team").code, 0);
    EXPECT_EQ(check("b", "team").code, 1) << "the rule counts everybody together, for everything";
    EXPECT_EQ(redis.integer({"EXISTS", "app:rate:*:*"}), 1);
    run_program({"check", "--user", "a", "--endpoint", "//V1/./Chat/", "--rule", "path", "--config", file});
    EXPECT_EQ(redis.integer({"EXISTS", "app:rate:a:/v1/chat"}), 1) << "as the proxy counts it";
    EXPECT_THAT(check("a", "taem").err, HasSubstr("no limit is called \"taem\"; did you mean \"team\"?"));
}

TEST(cli_program, an_unreachable_redis_is_one_line_with_the_remedy) {
    auto dead = "redis://127.0.0.1:" + std::to_string(dead_port());
    for (auto const& command : std::vector<std::vector<std::string>>{
             {"doctor", "--redis", dead},
             {"check", "--user", "a", "--endpoint", "b", "--limit", "1/s", "--redis", dead},
             {"limit", "reset", "--user", "a", "--endpoint", "b", "--redis", dead},
             {"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1", "--admin", "127.0.0.1:0",
              "--limit", "1/s", "--redis", dead}}) {
        auto result = run_program(command);
        EXPECT_EQ(result.code, 2) << command.front();
        EXPECT_THAT(result.err,
                    AllOf(IsOneLine(), HasSubstr("Connection refused: is redis-server running there? Start it, "
                                                 "or name another with --redis or REDIS_URL")))
            << command.front();
    }
    auto as_json = json::parse(run_program({"doctor", "--redis", dead, "--json"}).err);
    EXPECT_EQ(as_json["error"]["code"], "not_connected");
    EXPECT_THAT(as_json["error"]["remedy"].get<std::string>(), HasSubstr("--redis"));
}

TEST(cli_program, a_missing_or_wrong_password_is_final_and_no_secret_is_printed) {
    redis_server redis({.tcp = true, .password = "correct-horse", .arguments = {}});
    auto address = redis.tcp_url().substr(std::string("redis://").size());
    for (std::string command : {"doctor", "serve"}) {
        auto run = [&](std::string const& url, program::variables environment = {}) {
            if (command == "doctor")
                return run_program({"doctor", "--redis", url}, environment);
            return run_program({"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1", "--admin",
                                "127.0.0.1:0", "--limit", "1/s", "--allow-redis-down", "--redis", url},
                               environment);
        };
        auto none = run("redis://" + address);
        EXPECT_EQ(none.code, 2);
        EXPECT_THAT(none.err, AllOf(IsOneLine(), HasSubstr("it wants a password: set REDIS_PASSWORD")));
        auto wrong = run("redis://:battery-staple@" + address);
        EXPECT_EQ(wrong.code, 2);
        EXPECT_THAT(wrong.err, AllOf(IsOneLine(), HasSubstr("correct user and password"), Not(HasSubstr("battery"))));
        EXPECT_THAT(run("redis://" + address, {{"REDIS_PASSWORD", "staple"}}).err, Not(HasSubstr("staple")));
    }
    auto right = run_program({"doctor", "--redis", "redis://:correct-horse@" + address, "--timeout", "10s"});
    EXPECT_EQ(right.code, 0) << right.out << right.err;
    EXPECT_THAT(right.out + right.err, Not(HasSubstr("correct-horse")));
    EXPECT_EQ(run_program({"doctor", "--redis", "redis://" + address, "--timeout", "10s"},
                          {{"REDIS_PASSWORD", "correct-horse"}})
                  .code,
              0);
}

TEST(cli_program, doctor_examines_a_healthy_redis_and_leaves_nothing_behind) {
    redis_server redis;
    EXPECT_THAT(run_program({"doctor", "--redis", redis.url(), "--timeout", "0s"}).err,
                HasSubstr("--timeout: must be from 1ms to 1h"));
    auto text = run_program({"doctor", "--redis", redis.url(), "--timeout", "10s"});
    EXPECT_EQ(text.code, 0) << text.out << text.err;
    auto as_json = json::parse(run_program({"doctor", "--redis", redis.url(), "--timeout", "10s", "--json"}).out);
    EXPECT_EQ(as_json["healthy"], true);
    std::vector<std::string> checks;
    for (auto const& found : as_json["findings"])
        checks.push_back(found["check"]);
    EXPECT_THAT(checks, testing::ElementsAre("connection", "version", "role", "memory", "eviction", "persistence",
                                             "clients", "clock", "latency", "decisions"));
    EXPECT_EQ(redis.integer({"DBSIZE"}), 0);
}

TEST(cli_program, doctor_finds_missing_permissions_and_a_full_memory) {
    redis_server redis({.tcp = true, .password = {}, .arguments = {}});
    redis.run({"ACL", "SETUSER", "narrow", "on", ">pass", "~rate:*", "+ping", "+client|setname", "+script|load",
               "+evalsha", "+time", "+unlink"});
    auto url = "redis://narrow:pass@127.0.0.1:" + std::to_string(redis.port());
    auto result = run_program({"doctor", "--redis", url, "--json"});
    EXPECT_EQ(result.code, 1) << result.out << result.err;
    auto findings = json::parse(result.out)["findings"];
    auto level_of = [&](std::string const& check) {
        for (auto const& found : findings)
            if (found["check"] == check)
                return found["level"].get<std::string>();
        return std::string("absent");
    };
    EXPECT_EQ(level_of("info"), "note");
    EXPECT_EQ(level_of("decisions"), "problem") << "GET and SET are not allowed";

    redis.run({"ACL", "SETUSER", "enough", "on", ">pass", "~rate:*", "+evalsha", "+script|load", "+client|setname",
               "+select", "+ping", "+time", "+get", "+set", "+psetex", "+append", "+setrange", "+unlink"});
    auto enough = run_program(
        {"doctor", "--redis", "redis://enough:pass@127.0.0.1:" + std::to_string(redis.port()), "--timeout", "10s"});
    EXPECT_EQ(enough.code, 0) << "docs/commands.md: what a user needs\n" << enough.out << enough.err;

    redis.run({"CONFIG", "SET", "maxmemory", "1mb"});
    auto full = run_program({"doctor", "--redis", redis.url()});
    EXPECT_EQ(full.code, 1);
    EXPECT_THAT(full.out,
                AllOf(HasSubstr("problem  memory"), HasSubstr("raise maxmemory"), HasSubstr("needs attention")));
}

TEST(cli_program, config_check_names_every_culprit_and_exits_1) {
    temporary_directory directory;
    auto file =
        write_file(directory, "{\n  \"listne\": [],\n  \"workers\": -1,\n  \"upstreams\": {},\n"
                              "  \"routes\": [{ \"name\": \"r\", \"path\": \"/*\", \"upstream\": \"nobody\" }]\n}\n");
    for (auto const& command :
         std::vector<std::vector<std::string>>{{"config", "check", file}, {"serve", "--config", file}}) {
        auto result = run_program(command);
        EXPECT_EQ(result.code, 1);
        EXPECT_THAT(result.err, AllOf(HasSubstr(file + ":1:1: the field \"listen\" is missing"),
                                      HasSubstr(file + ":2:3: /listne: unknown field; did you mean \"listen\"?"),
                                      HasSubstr(file + ":3:14: /workers: must be a whole number from 0 to 1024"),
                                      HasSubstr(file + ":5:55: /routes/0/upstream: no upstream is called \"nobody\"")));
    }
    auto as_json = json::parse(run_program({"config", "check", file, "--json"}).out);
    EXPECT_EQ(as_json["valid"], false);
    EXPECT_EQ(as_json["issues"].size(), 4U);
    EXPECT_EQ(as_json["issues"][1]["pointer"], "/listne");
    EXPECT_EQ(run_program({"config", "check", source_path("examples/weir.json")}).code, 0);
    EXPECT_EQ(run_program({"config", "check", "/nonexistent"}).code, 2);
}

TEST(cli_program, config_show_prints_what_takes_effect_without_secrets) {
    auto shown =
        run_program({"config", "show", source_path("examples/weir.json")},
                    {{"REDIS_URL", "redis://:hunter2@10.0.0.9"}, {"WEIR_ADMIN_TOKEN", "hunter2hunter2hunter2"}});
    EXPECT_EQ(shown.code, 0) << shown.err;
    EXPECT_THAT(shown.out, AllOf(Not(HasSubstr("hunter2")), HasSubstr("redis://:***@10.0.0.9")));
    EXPECT_EQ(json::parse(shown.out)["limits"]["per-user"]["limit"], 100);
}

} // namespace
