#include "support/http_client.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <csignal>

// `weir top`, `weir bench` and `weir completion`: the real program against a real instance, Redis and shells.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// "127.0.0.1:PORT" at the end of the first line that holds `text`.
std::string address_in(program& weir, std::string const& text) {
    auto const line = weir.wait_for_error_line(text);
    auto const at = line.rfind("127.0.0.1:");
    return line.substr(at, line.find_first_not_of("0123456789.:", at) - at);
}

TEST(cli_top, shows_a_running_instance_once_or_until_interrupted) {
    program weir({"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:" + std::to_string(dead_port()),
                  "--admin", "127.0.0.1:0", "--workers", "1", "--access-log", "off", "--limit", "2/1h"});
    auto const served = endpoint_in(address_in(weir, "listening on 127.0.0.1:"));
    auto const admin = address_in(weir, "\"event\":\"admin_listening\"");
    for (auto const expected : {502, 502, 429})
        EXPECT_EQ(http_client(served).get("/").status, expected);
    auto const once = run_program({"top", "--admin", admin, "--once", "--interval", "100ms"});
    EXPECT_EQ(once.code, 0) << once.err;
    EXPECT_THAT(once.out, HasSubstr("ROUTE"));
    EXPECT_THAT(once.out, HasSubstr("2-per-1h"));
    EXPECT_THAT(once.out, HasSubstr("127.0.0.1 all"));

    program going({"top", "--admin", admin, "--json", "--interval", "100ms"});
    http_client(served).get("/");
    program once_json({"top", "--admin", admin, "--json", "--interval", "100ms", "--once", "--keys", "1"});
    ASSERT_EQ(once_json.wait(), 0) << once_json.err();
    auto const document = json::parse(once_json.out());
    EXPECT_EQ(document.at("top").at("keys")[0].at("count"), 4);
    EXPECT_EQ(document.at("status").at("routes")[0].at("name"), "all");
    going.signal(SIGINT);
    EXPECT_EQ(going.wait(), 0);
}

TEST(cli_top, what_is_in_the_way_is_one_line_with_its_remedy) {
    auto const nobody = run_program({"top", "--admin", "127.0.0.1:" + std::to_string(dead_port())});
    EXPECT_EQ(nobody.code, 2);
    EXPECT_THAT(nobody.err, HasSubstr("is weir serve running"));
    program weir({"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1", "--admin", "127.0.0.1:0",
                  "--workers", "1", "--access-log", "off"});
    auto const admin = address_in(weir, "\"event\":\"admin_listening\"");
    EXPECT_EQ(run_program({"top", "--admin", admin, "--once", "--interval", "1ms"}).code, 2);
    EXPECT_THAT(run_program({"top", "--admin", "nowhere"}).err, HasSubstr("--admin:"));
}

TEST(cli_bench, measures_every_algorithm_and_leaves_nothing_behind) {
    redis_server redis;
    auto const said = run_program(
        {"bench", "--redis", redis.url(), "--duration", "50ms", "--users", "20", "--concurrency", "8", "--json"});
    ASSERT_EQ(said.code, 0) << said.err;
    auto const results = json::parse(said.out).at("results");
    ASSERT_EQ(results.size(), 6u);
    for (auto const& one : results) {
        EXPECT_GT(one.at("decisions"), 0);
        EXPECT_EQ(one.at("failed"), 0) << one;
        EXPECT_LE(one.at("p50_us"), one.at("p99_us"));
        EXPECT_LE(one.at("p99_us"), one.at("max_us"));
    }
    EXPECT_EQ(redis.run({"KEYS", "weir-bench*"}), "");
    auto const table = run_program(
        {"bench", "--redis", redis.url(), "--duration", "20ms", "--limit", "5/1m", "--algorithm", "token_bucket"});
    EXPECT_EQ(table.code, 0) << table.err;
    EXPECT_THAT(table.out, HasSubstr("token_bucket"));
    EXPECT_EQ(run_program({"bench", "--redis", redis.url(), "--duration", "1ms"}).code, 2);
    EXPECT_EQ(run_program({"bench", "--redis", redis.url(), "--concurrency", "0"}).code, 2);
    EXPECT_EQ(run_program({"bench", "--redis", "redis://127.0.0.1:" + std::to_string(dead_port())}).code, 2);
}

/// What bash offers for the last of `words`.
std::string offered(std::string const& words, int index) {
    program shell("bash", {"-c", "source <(" + program_path() + " completion bash); COMP_WORDS=(" + words +
                                     "); COMP_CWORD=" + std::to_string(index) + "; _weir; echo ${COMPREPLY[@]}"});
    EXPECT_EQ(shell.wait(), 0) << shell.err();
    return shell.out();
}

TEST(cli_completion, bash_completes_commands_and_the_options_of_each) {
    EXPECT_EQ(offered("weir ser", 1), "serve\n");
    EXPECT_EQ(offered("weir limit re", 2), "reset refund\n");
    EXPECT_EQ(offered("weir limit refund --un", 3), "--units\n");
    EXPECT_EQ(offered("weir serve --limit 10/1m --list", 4), "--listen\n");
    EXPECT_EQ(offered("weir serve --limit ''", 3), "\n") << "a value follows, which nobody knows";
    auto const example = source_path("examples/weir.json");
    EXPECT_EQ(offered("weir config check " + example.substr(0, example.size() - 2), 3), example + '\n');
    EXPECT_EQ(offered("weir serve -c " + example.substr(0, example.size() - 2), 3), example + '\n');
    EXPECT_THAT(offered("weir ''", 1), HasSubstr("doctor"));
}

TEST(cli_completion, fish_completes_the_same) {
    auto const fish = [](std::string const& line) {
        program shell("fish",
                      {"--no-config", "-c", program_path() + " completion fish | source; complete -C '" + line + "'"});
        EXPECT_EQ(shell.wait(), 0) << shell.err();
        return shell.out();
    };
    EXPECT_THAT(fish("weir ser"), testing::StartsWith("serve\tRun the reverse proxy"));
    EXPECT_THAT(fish("weir limit re"), testing::AllOf(HasSubstr("reset\t"), HasSubstr("refund\t")));
    EXPECT_THAT(fish("weir limit refund --un"), testing::StartsWith("--units\t"));
    EXPECT_EQ(fish("weir doctor --un"), "");
}

TEST(cli_completion, zsh_knows_the_same_words) {
    auto const zsh = [](std::string const& words) {
        program shell("zsh", {"-f", "-c",
                              "compdef() { :; }; compadd() { shift; print -- $@; }; source <(" + program_path() +
                                  " completion zsh); words=(" + words + "); CURRENT=$#words; _weir"});
        EXPECT_EQ(shell.wait(), 0) << shell.err();
        return shell.out();
    };
    EXPECT_EQ(zsh("weir limit ''"), "peek reset refund\n");
    EXPECT_THAT(zsh("weir ''"), HasSubstr("serve"));
    EXPECT_THAT(zsh("weir limit refund --u"), HasSubstr("--units"));
}

TEST(cli_completion, another_shell_is_refused) { EXPECT_EQ(run_program({"completion", "tcsh"}).code, 2); }

} // namespace
} // namespace weir::test
