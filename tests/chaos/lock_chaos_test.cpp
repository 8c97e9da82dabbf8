#include "support/lock_fixture.hpp"
#include "support/lock_history.hpp"
#include "support/lock_worker.hpp"
#include "support/paths.hpp"
#include "support/relay.hpp"
#include "support/seed.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <fstream>
#include <memory>
#include <random>

// Processes that use locks, and what may happen to them and to Redis; and faults built in, each of which must be found.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// The production scripts with one place changed.
class changed_scripts {
public:
    enum class which { acquire, release, extend };
    changed_scripts(which what, std::string const& from, std::string const& to)
        : set_(lock::production_scripts())
        , code_("changed", changed(what, from, to)) {
        (what == which::acquire ? set_.acquire : what == which::release ? set_.release : set_.extend) = &code_;
    }
    lock::script_set const& set() const noexcept { return set_; }

private:
    static std::string changed(which what, std::string const& from, std::string const& to) {
        auto const& all = lock::production_scripts();
        auto source = (what == which::acquire   ? all.acquire
                       : what == which::release ? all.release
                                                : all.extend)
                          ->source();
        auto const at = source.find(from);
        if (at == std::string::npos)
            throw std::logic_error("a script has lost the line: " + from);
        return source.replace(at, from.size(), to);
    }

    lock::script_set set_;
    redis::script code_;
};
using which = changed_scripts::which;

class lock_chaos : public lock_test {
protected:
    std::string history_path() const { return directory.path() + "/history"; }
    std::unique_ptr<lock_worker> worker(lock::script_set const& code = lock::production_scripts()) const {
        lock_worker::options how;
        how.redis_url = server.url();
        how.register_url = reg.url();
        how.history_path = history_path();
        how.code = &code;
        return std::make_unique<lock_worker>(how);
    }
    std::vector<std::string> wrong(bool exclusive = true) const {
        return violations(read_history(history_path()), exclusive);
    }
    std::int64_t counter(char const* name) { return std::atoll(reg.run({"GET", name}).c_str()); }

    /// A holder stopped past its time, its successor, and a third who tries; what the stopped one was told afterwards.
    struct stale_answers {
        std::string lease, write, extension, release, third;
    };
    stale_answers stop_a_holder(lock::script_set const& code, std::string const& renew = "1") {
        auto const stale = worker(code), next = worker(code), third = worker(code);
        stale_answers told;
        EXPECT_THAT(stale->ask("take 300 0 " + renew), HasSubstr("granted"));
        stale->ask("read");
        next->say("take 20000 15000 1");
        stale->say("freeze");
        stale->wait_until_stopped();
        EXPECT_THAT(next->answer(), HasSubstr("granted"));
        EXPECT_EQ(next->ask("write"), "accepted");
        stale->signal(SIGCONT);
        told.lease = stale->answer();
        told.write = stale->ask("write");
        if (renew == "1")
            told.extension = stale->ask("extend"); // and then it does not ask Redis to give back what is not its own
        told.release = stale->ask("release");
        told.third = third->ask("take 20000 0 1");
        if (told.third.find("granted") != std::string::npos)
            third->ask("release");
        next->ask("release");
        return told;
    }

    redis_server reg;
    temporary_directory directory;
};

TEST_F(lock_chaos, behaviours_5_6_and_7_a_holder_stopped_past_its_time_knows_it_at_once_and_harms_nobody) {
    auto const told = stop_a_holder(lock::production_scripts());
    EXPECT_EQ(told.lease, "invalid") << "before any I/O";
    EXPECT_EQ(told.write, "rejected");
    EXPECT_NE(told.extension, "ok");
    EXPECT_NE(told.release, "ok");
    EXPECT_THAT(told.third, HasSubstr("refused")) << "the successor has it";
    EXPECT_THAT(wrong(), IsEmpty());
    EXPECT_EQ(counter("fenced"), counter("accepted")) << "no update lost where fences are compared";
    EXPECT_LT(counter("plain"), counter("written")) << "and some lost where not, or this proves nothing";
}

TEST_F(lock_chaos, mutant_a_release_that_deletes_blindly_is_found) {
    changed_scripts const blind(which::release, "released = call('ZREM', KEYS[2], ARGV[3])",
                                "released = call('DEL', KEYS[2])");
    auto const told = stop_a_holder(blind.set(), "0");
    EXPECT_EQ(told.release, "ok");
    EXPECT_THAT(wrong(), Not(IsEmpty()));
}

TEST_F(lock_chaos, mutant_an_extension_granted_to_whoever_asks_is_found) {
    changed_scripts const lax(which::extend, "if not ends then return 0 end", "if not ends then return 1 end");
    auto const told = stop_a_holder(lax.set());
    EXPECT_EQ(told.extension, "ok");
    EXPECT_THAT(wrong(), Not(IsEmpty()));
}

/// Whether an attempt whose reply was lost comes to the grant that it had.
class lock_mutants : public lock_test {
protected:
    bool same_grant_after_a_lost_reply(lock::script_set const& code) {
        relay between(server.socket_path());
        lock::manager_options how;
        how.code = &code;
        lock_instance one(io, between.unix_url(), how);
        lock_try held;
        EXPECT_FALSE(take(held, one.locks, "warm", {}));
        EXPECT_FALSE(give(held));
        between.swallow_replies(true);
        start(held, one.locks, "job", {.wait = 15s});
        until([&] { return server.integer({"ZCARD", "lock:job"}) == 1; }, "granted in Redis");
        auto const member = server.run({"ZRANGE", "lock:job", "0", "-1"});
        between.swallow_replies(false);
        between.cut();
        until([&] { return held.done(); }, "an answer");
        bool const same = member.find(' ' + std::to_string(held.lease.fence()) + ' ') != std::string::npos;
        EXPECT_FALSE(give(held));
        return same;
    }

    /// Two holders, the answer to the first delayed by half its time; what of the history is wrong.
    std::vector<std::string> slow_answers(lock::known_fault fault) {
        relay between(server.socket_path());
        lock::manager_options how;
        how.fault = fault;
        lock_instance slow(io, between.unix_url(), how), other(io, server.url());
        until([&] { return slow.client.connected(); }, "connected");
        between.delay_replies(400ms);
        std::vector<lock_event> history;
        auto const note = [&](lock_try const& of, boot_clock::time_point end) {
            history.push_back({1, lock_event::kind::hold, true, of.ended.time_since_epoch().count(),
                               end.time_since_epoch().count(), of.lease.fence(), 0});
        };
        lock_try first, next;
        start(first, slow.locks, "job", {.ttl = 1s, .wait = 15s, .renew = false});
        until([&] { return server.integer({"ZCARD", "lock:job"}) == 1; }, "granted in Redis");
        start(next, other.locks, "job", {.ttl = 10s, .wait = 15s, .heartbeat = 400ms});
        until([&] { return next.done() && first.done(); }, "both had it");
        EXPECT_TRUE(first.got() && next.got());
        note(first, first.lease.ends());
        note(next, boot_clock::now() + 1s);
        return violations(history, true);
    }

    /// Whether a release is found that came before the subscription stood.
    bool finds_a_missed_release(lock::known_fault fault) {
        lock_instance holder(io, server.url());
        relay between(server.socket_path());
        between.stall(true);
        lock::manager_options how;
        how.fault = fault;
        lock_instance waiter(io, server.url(), how, between.unix_url());
        lock_try held, next;
        EXPECT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
        start(next, waiter.locks, "job", {.wait = 3s, .heartbeat = 10min});
        until([&] { return server.integer({"ZCARD", "lock:job#queue"}) == 1; }, "queued");
        EXPECT_FALSE(give(held));
        between.stall(false);
        until([&] { return next.done(); }, "an end");
        return next.got();
    }

    /// How many attempts a release leads to while eight wait.
    std::uint64_t attempts_a_release(lock::script_set const& code) {
        lock::manager_options how;
        how.code = &code;
        lock_instance holder(io, server.url(), how), waiters(io, server.url(), how);
        until([&] { return waiters.news.connected(); }, "connected");
        lock_try held;
        EXPECT_FALSE(take(held, holder.locks, "job", {.ttl = 1h}));
        std::array<lock_try, 8> waiting;
        for (auto& each : waiting)
            start(each, waiters.locks, "job", {.ttl = 1h, .wait = lock::without_end, .heartbeat = 10min});
        until([&] { return server.integer({"ZCARD", "lock:job#queue"}) == 8; }, "queued");
        pass(20ms);
        auto const before = waiters.locks.stats().asked;
        EXPECT_FALSE(give(held));
        until([&] { return waiting.front().done(); }, "handed over");
        pass(50ms);
        auto const attempts = waiters.locks.stats().asked - before;
        waiters.locks.close();
        until([&] { return std::all_of(waiting.begin(), waiting.end(), [](auto const& each) { return each.done(); }); },
              "told");
        return attempts;
    }
};

TEST_F(lock_mutants, a_fence_given_anew_to_one_who_has_it_is_found) {
    EXPECT_TRUE(same_grant_after_a_lost_reply(lock::production_scripts()));
    changed_scripts const anew(which::acquire, "\nif mine then\n", "\nif mine and false then\n");
    EXPECT_FALSE(same_grant_after_a_lost_reply(anew.set()));
}

TEST_F(lock_mutants, a_deadline_that_counts_from_the_answer_is_found) {
    EXPECT_THAT(slow_answers(lock::known_fault::none), IsEmpty());
    server.run({"FLUSHALL"});
    EXPECT_THAT(slow_answers(lock::known_fault::deadline_from_answer), Not(IsEmpty()));
}

TEST_F(lock_mutants, one_that_does_not_look_again_after_subscribing_is_found) {
    EXPECT_TRUE(finds_a_missed_release(lock::known_fault::none));
    server.run({"FLUSHALL"});
    EXPECT_FALSE(finds_a_missed_release(lock::known_fault::no_second_look));
}

TEST_F(lock_mutants, a_release_that_wakes_the_whole_herd_is_found) {
    EXPECT_EQ(attempts_a_release(lock::production_scripts()), 0u) << "the next holder is told that he is";
    server.run({"FLUSHALL"});
    changed_scripts const herd(which::release, "    leave_queue(first)\n", R"(    leave_queue(first)
    for _, each in ipairs(call('ZRANGE', queue, 0, -1)) do
      call('PUBLISH', channel .. sub(each, 1, 16), '+' .. sub(each, 1, 32))
    end
)");
    EXPECT_GT(attempts_a_release(herd.set()), 4u);
}

/// The fleet under load; `fault(n)` breaks something each time.
class lock_load : public lock_chaos {
protected:
    void run_load(std::function<void(int, std::mt19937_64&)> const& fault) {
        std::mt19937_64 random(seed);
        for (int i = 0; i < 4; ++i) {
            fleet.push_back(worker());
            fleet.back()->say("load 4000");
        }
        for (int i = 0; i < 24; ++i) {
            timespec const pace{0, 150'000'000};
            ::nanosleep(&pace, nullptr);
            fault(i, random);
        }
        for (auto const& each : fleet) {
            each->signal(SIGCONT);
            EXPECT_EQ(each->answer(), "done");
        }
    }
    void replace(std::size_t place) {
        fleet[place]->kill();
        fleet[place] = worker();
        fleet[place]->say("load 2000");
    }
    std::size_t grants() const {
        auto const history = read_history(history_path());
        return static_cast<std::size_t>(std::count_if(history.begin(), history.end(), [](auto const& each) {
            return each.what == lock_event::kind::acquire && each.ok;
        }));
    }

    std::uint64_t const seed = random_seed();
    std::vector<std::unique_ptr<lock_worker>> fleet;
};

TEST_F(lock_load, behaviours_1_2_4_and_38_hold_while_processes_stop_and_die_and_connections_break) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::size_t stopped = 0;
    run_load([&](int step, std::mt19937_64& random) {
        fleet[stopped]->signal(SIGCONT);
        switch (step % 6) {
        case 0:
            stopped = random() % fleet.size();
            return fleet[stopped]->signal(SIGSTOP);
        case 1:
            return; // it stays stopped: longer than its time
        case 2:
            return replace(random() % fleet.size());
        case 3:
            server.run({"CLIENT", "KILL", "TYPE", random() % 2 ? "normal" : "pubsub"});
            return;
        case 4:
            server.run({"SCRIPT", "FLUSH"});
            return;
        case 5:
            server.run({"CLIENT", "PAUSE", "60"});
            return;
        }
    });
    EXPECT_THAT(wrong(), IsEmpty());
    EXPECT_EQ(counter("fenced"), counter("accepted")) << "no update lost";
    EXPECT_GT(grants(), 50u);
    // Who died in the queue is forgotten with it.
    until([&] { return server.run({"KEYS", "*"}) == "lock:#fence\n"; }, "all gone but the record of fences");
}

TEST_F(lock_load, behaviours_2_4_12_13_and_16_fences_hold_while_redis_loses_its_data) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_load([&](int step, std::mt19937_64&) {
        switch (step % 4) {
        case 0:
            server.run({"FLUSHALL"});
            return;
        case 1:
            server.run({"DEL", "lock:job"});
            return;
        case 2:
            return server.restart();
        case 3:
            return;
        }
    });
    EXPECT_THAT(wrong(false), IsEmpty());
    EXPECT_EQ(counter("fenced"), counter("accepted")) << "no update lost";
    EXPECT_GT(grants(), 50u);
}

TEST_F(lock_chaos, behaviour_14_a_promoted_replica_that_never_heard_of_the_lock_gives_higher_fences) {
    redis_server::options with_port;
    with_port.tcp = true;
    redis_server master(with_port);
    server.run({"REPLICAOF", "127.0.0.1", std::to_string(master.port())});
    until([&] { return master.run({"INFO", "replication"}).find("state=online") != std::string::npos; }, "replicated");
    lock_instance before(io, master.url());
    lock_try held;
    ASSERT_FALSE(take(held, before.locks, "job", {}));
    // The replica hears nothing of the last grants; the master dies, and it is promoted.
    server.pause();
    ASSERT_FALSE(give(held));
    ASSERT_FALSE(take(held, before.locks, "job", {}));
    auto const last = held.lease.fence();
    master.kill();
    server.resume();
    server.run({"REPLICAOF", "NO", "ONE"});
    server.run({"DEL", "lock:job"}); // as after its time
    lock_instance after(io, server.url());
    lock_try next;
    ASSERT_FALSE(take(next, after.locks, "job", {}));
    EXPECT_GT(next.lease.fence(), last);
}

/// A server whose wall clock the test shifts (preload/shifted_clock.cpp).
class lock_server_clock : public lock_test {
protected:
    void SetUp() override {
        shift(0s);
        ::setenv("LD_PRELOAD", shifted_clock_path().c_str(), 1);
        ::setenv("WEIR_TEST_CLOCK", path().c_str(), 1);
        shifted = std::make_unique<redis_server>();
        ::unsetenv("LD_PRELOAD");
        ::unsetenv("WEIR_TEST_CLOCK");
    }
    void shift(std::chrono::microseconds by) const {
        auto const value = static_cast<std::int64_t>(by.count());
        std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
        if (!file)
            file.open(path(), std::ios::out | std::ios::binary);
        file.write(reinterpret_cast<char const*>(&value), sizeof value);
    }
    std::string path() const { return directory.path() + "/shift"; }
    std::int64_t server_seconds() { return std::atoll(shifted->run({"TIME"}).c_str()); }

    temporary_directory directory;
    std::unique_ptr<redis_server> shifted;
};

TEST_F(lock_server_clock, behaviour_11_an_hour_ahead_the_holder_learns_within_a_renewal_and_fences_never_step_back) {
    auto const began = server_seconds();
    ASSERT_NEAR(static_cast<double>(began), static_cast<double>(std::time(nullptr)), 5);
    lock_instance one(io, shifted->url()), other(io, shifted->url());
    lock_try held, next, last;
    ASSERT_FALSE(take(held, one.locks, "job", {.ttl = 900ms}));
    auto const fence = held.lease.fence();
    shift(1h);
    ASSERT_GE(server_seconds(), began + 3599) << "the shift takes effect";
    auto const jumped = boot_clock::now();
    ASSERT_FALSE(take(next, other.locks, "job", {.ttl = 1h, .wait = 5s}));
    EXPECT_GT(next.lease.fence(), fence) << "what the first still writes is refused by its fence";
    until([&] { return held.lease.lost(); }, "told");
    EXPECT_LT(boot_clock::now() - jumped, 600ms) << "a third of its ttl";
    EXPECT_FALSE(held.lease.valid());
    // And back: the lock is not held an hour too long, and fences go on from where they were.
    ASSERT_FALSE(give(next));
    ASSERT_FALSE(take(next, other.locks, "job", {.ttl = 300ms, .renew = false}));
    auto const highest = next.lease.fence();
    shift(0s);
    ASSERT_FALSE(take(last, one.locks, "job", {.wait = 10s, .heartbeat = 400ms}));
    EXPECT_LT(last.ended - jumped, 5s);
    EXPECT_GT(last.lease.fence(), highest);
    lock_instance fresh(io, shifted->url());
    lock_try unrelated;
    ASSERT_FALSE(take(unrelated, fresh.locks, "another", {}));
    EXPECT_GT(unrelated.lease.fence(), last.lease.fence()) << "an instance that knew nothing goes by the record";
}

} // namespace
} // namespace weir::test
