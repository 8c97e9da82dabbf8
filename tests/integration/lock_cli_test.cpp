#include "support/program.hpp"
#include "support/redis_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

// `weir lock`.

namespace weir::test {
namespace {

using ::testing::HasSubstr;

class lock_cli : public ::testing::Test {
protected:
    using words = std::vector<std::string>;

    words of(words arguments, words command = {}) const {
        arguments.insert(arguments.begin(), "lock");
        arguments.insert(arguments.end(), {"--redis", server.url()});
        if (!command.empty()) {
            arguments.emplace_back("--");
            arguments.insert(arguments.end(), command.begin(), command.end());
        }
        return arguments;
    }
    program_result run(words const& arguments, words const& command = {}) const {
        return run_program(of(arguments, command));
    }
    /// Holds `name` until told by a line in `gate`.
    words hold(std::string const& name, words extra = {}) const {
        extra.insert(extra.begin(), {"run", name});
        return of(extra, {"sh", "-c", "echo holding >&2; read line < " + gate()});
    }
    std::string gate() const {
        auto const path = directory.path() + "/gate";
        ::mkfifo(path.c_str(), 0600);
        return path;
    }
    void open_gate() const { std::ofstream(directory.path() + "/gate") << "go\n"; }

    /// Until somebody stands in the queue of `name`; a process of its own, so that Redis is asked.
    void await_waiter(std::string const& name) {
        auto const deadline = boot_clock::now() + patience;
        while (server.integer({"ZCARD", "lock:" + name + "#queue"}) == 0)
            ASSERT_LT(boot_clock::now(), deadline) << "nobody waits for " << name;
    }

    redis_server server;
    temporary_directory directory;
};

TEST_F(lock_cli, a_command_runs_under_the_lock_with_its_fence_and_passes_its_status_on) {
    auto const ran = run({"run", "job"}, {"sh", "-c", "echo $WEIR_LOCK $WEIR_FENCE; exit 7"});
    EXPECT_EQ(ran.code, 7) << ran.err;
    EXPECT_THAT(ran.out, ::testing::StartsWith("job 1"));
    auto const again = run({"run", "job"}, {"sh", "-c", "echo $WEIR_LOCK $WEIR_FENCE"});
    EXPECT_EQ(again.code, 0);
    EXPECT_GT(std::stoull(again.out.substr(4)), std::stoull(ran.out.substr(4)));
    EXPECT_EQ(server.run({"KEYS", "*"}), "lock:#fence\n");
}

TEST_F(lock_cli, a_command_inherits_no_connection) {
    auto const ran = run({"run", "job"}, {"ls", "-l", "/proc/self/fd"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("/dev/null"));
    EXPECT_THAT(ran.out, ::testing::Not(HasSubstr("socket:")));
}

TEST_F(lock_cli, a_busy_lock_is_1_or_what_is_asked_for_and_the_command_does_not_run) {
    program holder(hold("job"));
    holder.wait_for_error_line("holding");
    auto const busy = run({"run", "job"}, {"touch", directory.path() + "/ran"});
    EXPECT_EQ(busy.code, 1);
    EXPECT_THAT(busy.err, HasSubstr("lock job is busy"));
    EXPECT_EQ(run({"run", "job", "--busy-exit-code", "75"}, {"true"}).code, 75);
    EXPECT_EQ(run({"run", "job", "-E", "0"}, {"false"}).code, 0);
    EXPECT_NE(::access((directory.path() + "/ran").c_str(), F_OK), 0);
    open_gate();
    EXPECT_EQ(holder.wait(), 0);
}

TEST_F(lock_cli, one_that_waits_runs_when_the_lock_is_given_back) {
    program holder(hold("job"));
    holder.wait_for_error_line("holding");
    program waiter(of({"run", "job", "--wait", "30s"}, {"echo", "mine"}));
    await_waiter("job");
    open_gate();
    EXPECT_EQ(holder.wait(), 0);
    EXPECT_EQ(waiter.wait(), 0) << waiter.err();
    EXPECT_EQ(waiter.out(), "mine\n");
}

TEST_F(lock_cli, a_command_that_loses_its_lock_is_ended_by_term_and_then_by_kill) {
    // This one hears TERM and goes; its children, too.
    program polite(of({"run", "job", "--ttl", "600ms"}, {"sh", "-c", "echo up >&2; sleep 60 & wait"}));
    polite.wait_for_error_line("up");
    server.run({"DEL", "lock:job"});
    EXPECT_EQ(polite.wait(), 128 + SIGTERM);
    EXPECT_THAT(polite.err(), HasSubstr("lock job is lost"));
    program stubborn(of({"run", "job", "--ttl", "600ms", "--grace", "100ms"},
                        {"sh", "-c", "trap '' TERM; echo up >&2; while :; do sleep 60; done"}));
    stubborn.wait_for_error_line("up");
    server.run({"DEL", "lock:job"});
    EXPECT_EQ(stubborn.wait(), 128 + SIGKILL);
}

TEST_F(lock_cli, what_cannot_be_run_says_so_and_gives_the_lock_back) {
    auto const missing = run({"run", "job"}, {"no-such-command"});
    EXPECT_EQ(missing.code, 127);
    EXPECT_THAT(missing.err, HasSubstr("no-such-command"));
    EXPECT_EQ(run({"run", "job"}, {"/etc"}).code, 126);
    EXPECT_EQ(server.integer({"EXISTS", "lock:job"}), 0);
    auto const nothing = run({"run", "job", "--ttl", "1ms"}, {"true"});
    EXPECT_EQ(nothing.code, 2);
    EXPECT_THAT(nothing.err, HasSubstr("--ttl"));
    server.kill();
    EXPECT_EQ(run({"run", "job"}, {"true"}).code, 2);
}

TEST_F(lock_cli, signals_are_passed_on_and_end_the_wait) {
    program held(of({"run", "job"}, {"sh", "-c", "trap 'exit 9' TERM; echo up >&2; while :; do sleep 0.01; done"}));
    held.wait_for_error_line("up");
    program waiter(of({"run", "job", "--wait", "forever"}, {"true"}));
    await_waiter("job");
    waiter.signal(SIGTERM);
    EXPECT_EQ(waiter.wait(), 128 + SIGTERM);
    EXPECT_EQ(server.integer({"ZCARD", "lock:job#queue"}), 0);
    held.signal(SIGTERM);
    EXPECT_EQ(held.wait(), 9);
}

TEST_F(lock_cli, a_limit_lets_so_many_in_and_shared_ones_keep_an_exclusive_one_out) {
    program one(hold("gpu", {"--limit", "2"})), two(hold("gpu", {"--limit", "2"}));
    one.wait_for_error_line("holding");
    two.wait_for_error_line("holding");
    EXPECT_EQ(run({"run", "gpu", "--limit", "2"}, {"true"}).code, 1);
    program reader(hold("doc", {"--shared"}));
    reader.wait_for_error_line("holding");
    EXPECT_EQ(run({"run", "doc", "--shared"}, {"true"}).code, 0);
    EXPECT_EQ(run({"run", "doc"}, {"true"}).code, 1);
    EXPECT_EQ(run({"run", "doc", "--shared", "--limit", "2"}, {"true"}).code, 2);
}

TEST_F(lock_cli, a_lock_is_listed_shown_and_broken) {
    EXPECT_EQ(run({"list", "--json"}).out, "[]\n");
    EXPECT_EQ(run({"show", "job"}).code, 1);
    EXPECT_EQ(run({"show", "job"}).out, "job: free\n");
    program holder(hold("job", {"--who", "ada@work"}));
    holder.wait_for_error_line("holding");
    program waiter(of({"run", "job", "--wait", "30s", "--who", "bob"}, {"true"}));
    await_waiter("job");
    auto const shown = run({"show", "job"});
    EXPECT_EQ(shown.code, 0);
    EXPECT_THAT(shown.out, HasSubstr("job: held by ada@work, fence 1"));
    EXPECT_THAT(shown.out, HasSubstr("; 1 waits"));
    EXPECT_THAT(shown.out, HasSubstr(": bob\n"));
    auto const listed = nlohmann::json::parse(run({"list", "--json"}).out);
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0]["name"], "job");
    EXPECT_EQ(listed[0]["holders"][0]["who"], "ada@work");
    EXPECT_EQ(listed[0]["waiters"][0]["who"], "bob");
    EXPECT_EQ(run({"break", "job"}).out, "job: taken from 1 holder\n");
    EXPECT_EQ(holder.wait(), 128 + SIGTERM) << "told at once";
    EXPECT_EQ(waiter.wait(), 0) << "and the next had it";
    EXPECT_EQ(run({"break", "job"}).code, 1);
}

} // namespace
} // namespace weir::test
