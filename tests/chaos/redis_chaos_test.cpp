#include "support/redis_fixture.hpp"
#include "support/relay.hpp"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <unistd.h>

namespace {

using namespace weir;
using namespace weir::test;
using namespace std::chrono_literals;
using redis::client;
using redis::command;

// What became of operations, by code.
struct tally {
    std::map<std::string, int> codes;
    int total = 0;
    int ok = 0;
    int unknown = 0;
    boot_clock::duration longest{};
    void note(error_code ec) {
        ++total;
        ok += !ec;
        unknown += ec == kind::outcome_unknown;
        ++codes[ec ? ec.message() : "ok"];
    }
    std::string text() const {
        std::string result;
        for (auto const& [code, n] : codes)
            result += code + ": " + std::to_string(n) + "; ";
        return result;
    }
};

redis::client_options lively_options(std::string const& url) {
    auto options = patient_options(url);
    options.timeout = 500ms;
    options.reconnect_min = 1ms;
    options.reconnect_max = 20ms;
    options.health_interval = 100ms;
    return options;
}

// Increments one after another, several at a time, until `enough` says so.
asio::awaitable<void> increment_until(client& redis, tally& seen, std::function<bool()> enough,
                                      command const& increment = command("INCR", "counter")) {
    auto const executor = co_await asio::this_coro::executor;
    constexpr int lanes = 16;
    int running = lanes;
    std::vector<redis::int_sink<1>> sinks(lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane)
        asio::co_spawn(
            executor,
            [&, lane]() -> asio::awaitable<void> {
                while (!enough()) {
                    auto const start = boot_clock::now();
                    auto const [ec] = co_await redis.async_exec(increment, sinks[lane], {}, use_result);
                    seen.longest = std::max<boot_clock::duration>(seen.longest, boot_clock::now() - start);
                    seen.note(ec);
                    // Nobody waits on a failure here; let the client's own timers run.
                    if (ec)
                        co_await asio::post(executor, asio::use_awaitable);
                }
            },
            [&](std::exception_ptr) { --running; });
    while (running > 0)
        co_await asio::post(executor, asio::use_awaitable);
}

// Increments while connections end again and again.
void expect_at_most_once(redis_server& server, std::string const& url, std::function<void()> const& cut) {
    asio::io_context io;
    client redis(io, lively_options(url));
    tally seen;
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        int next_cut = 100;
        co_await increment_until(redis, seen, [&] {
            if (seen.ok >= next_cut) {
                next_cut += 100;
                cut();
            }
            return seen.ok >= 2000;
        });
    });
    auto const executed = server.integer({"GET", "counter"});
    EXPECT_GE(executed, seen.ok) << "what was answered was executed; " << seen.text();
    EXPECT_LE(executed, seen.ok + seen.unknown) << "what was told as not sent was not executed; " << seen.text();
    EXPECT_GT(redis.stats().connects, 5u) << seen.text();
    EXPECT_LT(seen.longest, 500ms + 1s) << "nobody waits past the deadline, but for a busy machine";
}

TEST(redis_chaos, at_most_once_holds_while_connections_are_cut) {
    redis_server server;
    relay between(server.socket_path());
    expect_at_most_once(server, between.tcp_url(), [&] { between.cut(); });
}

TEST(redis_chaos, at_most_once_holds_while_the_server_kills_connections) {
    redis_server server;
    expect_at_most_once(server, server.url(), [&] { server.run({"CLIENT", "KILL", "TYPE", "normal"}); });
}

TEST(redis_chaos, at_most_once_holds_over_a_kill_and_a_restart) {
    redis_server server(
        {.tcp = false, .password = {}, .arguments = {"--appendonly", "yes", "--appendfsync", "always"}});
    asio::io_context io;
    client redis(io, lively_options(server.url()));
    tally seen;
    bool killed = false;
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        co_await increment_until(redis, seen, [&] {
            if (!killed && seen.ok >= 300) {
                killed = true;
                server.kill();
            }
            if (killed && server.pid() == 0 && seen.codes.contains("not connected to Redis"))
                server.restart();
            return killed && redis.stats().connects >= 2 && seen.ok >= 600;
        });
    });
    auto const executed = server.integer({"GET", "counter"});
    EXPECT_GE(executed, seen.ok) << seen.text();
    EXPECT_LE(executed, seen.ok + seen.unknown) << seen.text();
    EXPECT_GT(seen.codes["not connected to Redis"], 0) << "callers failed at once while it was away";
}

TEST(redis_chaos, idempotent_operations_survive_a_cut) {
    redis_server server;
    relay between(server.socket_path());
    server.run({"SET", "key", "value"});
    asio::io_context io;
    auto options = lively_options(between.unix_url());
    options.timeout = 10s;
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        command const get("GET", "key");
        for (std::uint64_t round = 1; round < 6; ++round) {
            server.pause();
            redis::string_sink sink;
            error_code result = errc::invalid_argument;
            redis.async_exec(get, sink, {.idempotent = true}, [&](error_code ec) { result = ec; });
            while (redis.stats().in_flight == 0)
                co_await asio::post(io, asio::use_awaitable);
            between.cut();
            server.resume();
            while (result == errc::invalid_argument || redis.stats().connects <= round)
                co_await asio::post(io, asio::use_awaitable);
            EXPECT_FALSE(result) << result.message();
            EXPECT_EQ(sink.value(), "value");
        }
        EXPECT_EQ(redis.stats().resends, 5u);
    });
}

TEST(redis_chaos, nobody_gets_anothers_reply_when_replies_are_split_and_connections_cut_within_them) {
    redis_server server;
    relay between(server.socket_path());
    between.split_replies(1);
    between.cut_after_reply_bytes(3000);
    asio::io_context io;
    client redis(io, lively_options(between.tcp_url()));
    int right = 0, lost = 0;
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        for (int i = 0; right < 400; ++i) {
            auto const mine = "text-" + std::to_string(i);
            // A deadline that some miss leaves tombstones in the way of the others.
            auto const [ec, text] =
                co_await ask(redis, command("ECHO", mine), {.timeout = i % 3 ? 500ms : std::chrono::microseconds(80)});
            EXPECT_TRUE(ec || text == mine) << text << " came for " << mine;
            ++(ec ? lost : right);
            if (ec == errc::not_connected)
                co_await asio::post(io, asio::use_awaitable);
        }
    });
    EXPECT_GT(lost, 0);
    EXPECT_GT(redis.stats().connects, 1u);
}

TEST(redis_chaos, swallowed_replies_end_at_the_deadline_and_silence_ends_the_connection) {
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    auto options = lively_options(between.unix_url());
    options.timeout = 30ms;
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        between.swallow_replies(true);
        auto const start = boot_clock::now();
        while (redis.connected()) {
            auto const [ec, text] = co_await ask(redis, command("PING"));
            EXPECT_TRUE(ec == errc::timed_out || ec == errc::connection_lost || ec == errc::timed_out_unsent ||
                        ec == errc::not_connected)
                << ec.message();
        }
        EXPECT_GE(boot_clock::now() - start, 2 * options.health_interval);
        EXPECT_NE(redis.last_error_text().find("no reply for two health intervals"), std::string::npos)
            << redis.last_error_text();
        between.swallow_replies(false);
        while (!redis.connected())
            co_await redis.async_connect(use_result);
        auto const [ec, pong] = co_await ask(redis, command("PING"), {.timeout = 10s});
        EXPECT_EQ(pong, "PONG");
    });
}

TEST(redis_chaos, an_idle_connection_that_dies_is_noticed_without_anybody_asking) {
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    client redis(io, lively_options(between.unix_url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        between.swallow_replies(true);
        while (redis.connected())
            co_await asio::post(io, asio::use_awaitable);
        EXPECT_EQ(redis.stats().submitted, 0u);
    });
}

TEST(redis_chaos, a_full_pipe_does_not_keep_deadlines_from_passing) {
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    auto options = lively_options(between.unix_url());
    options.health_interval = 10s;
    options.max_queued_bytes = 4u << 20;
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    between.stall(true);
    command const large("SET", "key", std::string(100'000, 'x'));
    redis::ignore_sink sink;
    tally seen;
    constexpr int n = 60;
    for (int i = 0; i < n; ++i)
        redis.async_exec(large, sink, {.timeout = 50ms}, [&](error_code ec) {
            seen.note(ec);
            if (seen.total == n)
                io.stop();
        });
    io.restart();
    io.run_for(patience);
    EXPECT_EQ(seen.total, n);
    EXPECT_GT(seen.codes[error_code(errc::queue_full).message()], 0) << seen.text();
    EXPECT_GT(seen.codes[error_code(errc::timed_out_unsent).message()], 0) << seen.text();
    between.stall(false);
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec, pong] = co_await ask(redis, command("PING"), {.timeout = 10s});
        EXPECT_EQ(pong, "PONG") << ec.message();
    });
}

TEST(redis_chaos, a_half_closed_connection_is_replaced) {
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    client redis(io, lively_options(between.tcp_url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        between.half_close();
        while (redis.stats().connects < 2)
            co_await asio::post(io, asio::use_awaitable);
        auto const [ec, pong] = co_await ask(redis, command("PING"));
        EXPECT_EQ(pong, "PONG");
    });
}

TEST(redis_chaos, client_kill_is_healed) {
    redis_server server;
    asio::io_context io;
    client redis(io, lively_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        for (std::uint64_t round = 2; round < 6; ++round) {
            server.run({"CLIENT", "KILL", "TYPE", "normal"});
            while (redis.stats().connects < round)
                co_await asio::post(io, asio::use_awaitable);
            auto const [ec, pong] = co_await ask(redis, command("PING"));
            EXPECT_EQ(pong, "PONG") << ec.message();
        }
    });
}

TEST(redis_chaos, client_pause_delays_and_loses_nothing) {
    redis_server server;
    asio::io_context io;
    client redis(io, lively_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        server.run({"CLIENT", "PAUSE", "60", "ALL"});
        auto const [early, nothing] = co_await count(redis, command("INCR", "x"), {.timeout = 10ms});
        EXPECT_EQ(early, errc::timed_out);
        auto const [late, value] = co_await count(redis, command("INCR", "x"));
        EXPECT_FALSE(late) << late.message();
        EXPECT_EQ(value, 2) << "the first was executed, too, as outcome unknown allows";
    });
}

TEST(redis_chaos, a_server_with_too_many_clients_says_so) {
    redis_server server;
    server.run({"CONFIG", "SET", "maxclients", "1"});
    auto const only = server.send({"PING"});
    asio::io_context io;
    client redis(io, lively_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        auto const [ec] = co_await redis.async_connect(use_result);
        EXPECT_TRUE(ec == errc::max_clients || ec == errc::not_connected) << ec.message();
        while (redis.last_error() != errc::max_clients)
            co_await asio::post(io, asio::use_awaitable);
        EXPECT_NE(redis.last_error_text().find("ERR max number of clients reached"), std::string::npos)
            << redis.last_error_text();
    });
}

TEST(redis_chaos, a_server_that_comes_back_is_found_again) {
    redis_server server;
    asio::io_context io;
    client redis(io, lively_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        for (std::uint64_t round = 2; round < 5; ++round) {
            server.stop();
            for (error_code ec; ec != errc::not_connected;)
                std::tie(ec, std::ignore) = co_await ask(redis, command("PING"));
            server.restart();
            while (redis.stats().connects < round)
                co_await asio::post(io, asio::use_awaitable);
            auto const [ec, pong] = co_await ask(redis, command("PING"));
            EXPECT_EQ(pong, "PONG");
        }
    });
}

// Increments through a fault: until somebody has been told `expected`, then until it is mended and 100 more have come
// through. However it goes: nobody waits past the deadline, what was executed is what was answered and at most what is
// unknown, memory stays within the limits, and all is well within a second of the mending.
void expect_survived(redis_server& server, std::string const& url, std::function<void()> const& fault, errc expected,
                     std::function<void()> const& mend) {
    asio::io_context io;
    auto options = lively_options(url);
    options.max_queued_operations = 8; // fewer than there are lanes
    options.reconnect_min = redis::client_options{}.reconnect_min;
    options.reconnect_max = redis::client_options{}.reconnect_max;
    client redis(io, options);
    tally seen;
    enum class stage { before, during, after, back } now = stage::before;
    boot_clock::time_point mended_at;
    boot_clock::duration back_after{};
    int ok_then = 0;
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        co_await increment_until(redis, seen, [&] {
            auto const stats = redis.stats();
            EXPECT_LE(stats.in_flight + stats.tombstones, options.max_queued_operations);
            // What was sent and is to be sent again (BUSY, for example) joins a queue that may be full.
            EXPECT_LE(stats.in_flight + stats.tombstones + stats.queued, 2 * options.max_queued_operations);
            if (now == stage::before && seen.ok >= 100) {
                now = stage::during;
                fault();
            } else if (now == stage::during && seen.codes.contains(error_code(expected).message())) {
                now = stage::after;
                mend();
                mended_at = boot_clock::now();
                ok_then = seen.ok;
            } else if (now == stage::after && seen.ok > ok_then) {
                now = stage::back;
                back_after = boot_clock::now() - mended_at;
            }
            return now == stage::back && seen.ok >= ok_then + 100;
        });
    });
    auto const executed = server.integer({"GET", "counter"});
    EXPECT_GE(executed, seen.ok) << seen.text();
    EXPECT_LE(executed, seen.ok + seen.unknown) << "what was refused or not sent was not executed; " << seen.text();
    EXPECT_LT(back_after, 1s) << seen.text();
    EXPECT_LT(seen.longest, 500ms + 1s) << "nobody waits past the deadline, but for a busy machine";
}

void expect_survived(redis_server& server, std::function<void()> const& fault, errc expected,
                     std::function<void()> const& mend) {
    expect_survived(server, server.url(), fault, expected, mend);
}

TEST(redis_chaos, a_path_that_swallows_replies_is_survived) {
    redis_server server;
    relay between(server.socket_path());
    expect_survived(
        server, between.tcp_url(), [&] { between.swallow_replies(true); }, errc::connection_lost,
        [&] {
            between.swallow_replies(false);
            between.cut(); // handshakes, too, were swallowed
        });
}

TEST(redis_chaos, a_path_that_stalls_is_survived) {
    redis_server server;
    relay between(server.socket_path());
    expect_survived(
        server, between.tcp_url(), [&] { between.stall(true); }, errc::connection_lost, [&] { between.stall(false); });
}

TEST(redis_chaos, a_path_that_delays_beyond_the_deadline_is_survived) {
    redis_server server;
    relay between(server.socket_path());
    expect_survived(
        server, between.unix_url(), [&] { between.delay_replies(700ms); }, errc::not_connected,
        [&] {
            between.delay_replies(0ms);
            between.cut(); // what is delayed already would come late still
        });
}

TEST(redis_chaos, a_path_that_cuts_in_the_middle_of_replies_is_survived) {
    redis_server server;
    relay between(server.socket_path());
    expect_survived(
        server, between.unix_url(), [&] { between.cut_after_reply_bytes(400); }, errc::connection_lost,
        [&] { between.cut_after_reply_bytes(std::size_t{1} << 40); });
}

TEST(redis_chaos, a_path_that_closes_half_is_survived) {
    redis_server server;
    relay between(server.socket_path());
    expect_survived(
        server, between.tcp_url(), [&] { between.half_close(); }, errc::connection_lost, [] {});
}

TEST(redis_chaos, a_server_that_is_stopped_and_started_again_is_survived) {
    redis_server server(
        {.tcp = false, .password = {}, .arguments = {"--appendonly", "yes", "--appendfsync", "always"}});
    expect_survived(
        server, [&] { server.kill(); }, errc::not_connected, [&] { server.restart(); });
}

TEST(redis_chaos, a_server_that_hangs_is_survived) {
    redis_server server;
    expect_survived(
        server, [&] { server.pause(); }, errc::not_connected, [&] { server.resume(); });
}

TEST(redis_chaos, a_server_that_takes_no_clients_for_a_while_is_survived) {
    redis_server server;
    relay between(server.socket_path());
    std::vector others{server.send({"PING"}), server.send({"PING"})};
    expect_survived(
        server, between.unix_url(),
        [&] {
            server.run({"CONFIG", "SET", "maxclients", "2"});
            between.cut();
        },
        errc::not_connected, [&] { others.clear(); });
}

TEST(redis_chaos, a_server_that_pauses_its_clients_is_survived) {
    redis_server server;
    expect_survived(
        server,
        [&] {
            server.run({"CLIENT", "PAUSE", "60000", "WRITE"});
        },
        errc::not_connected,
        [&] {
            server.run({"CLIENT", "UNPAUSE"});
        });
}

// A reply that comes late is swallowed, whoever asks meanwhile.
TEST(redis_chaos, late_replies_on_a_slow_path_reach_nobody) {
    redis_server server;
    relay between(server.socket_path());
    between.split_replies(3);
    asio::io_context io;
    auto options = lively_options(between.tcp_url());
    options.health_interval = 10s;
    client redis(io, options);
    int right = 0, late = 0;
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        between.delay_replies(20ms);
        for (int i = 0; right < 20 || late < 20; ++i) {
            auto const mine = "text-" + std::to_string(i);
            auto const start = boot_clock::now();
            bool const hasty = i % 2;
            auto const [ec, text] =
                co_await ask(redis, command("ECHO", mine), {.timeout = hasty ? std::chrono::milliseconds{2} : 10s});
            EXPECT_TRUE(ec == errc::timed_out || text == mine) << text << " came for " << mine << ": " << ec.message();
            EXPECT_LT(boot_clock::now() - start, hasty ? 1s : 10s);
            ++(ec ? late : right);
        }
    });
    EXPECT_EQ(redis.stats().connects, 1u);
}

// A flood while nothing comes back: the queue is full at once, and what is kept does not grow with what is asked.
TEST(redis_chaos, memory_is_bounded_whatever_is_asked_while_nothing_is_answered) {
    auto const resident = [] {
        std::ifstream statm("/proc/self/statm");
        std::size_t total = 0, pages = 0;
        statm >> total >> pages;
        return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    };
    redis_server server;
    relay between(server.socket_path());
    asio::io_context io;
    auto options = lively_options(between.unix_url());
    options.health_interval = 10s;
    options.max_queued_operations = 1000;
    options.max_queued_bytes = 1u << 20;
    client redis(io, options);
    run(io, [&]() -> asio::awaitable<void> { co_await redis.async_connect(use_result); });
    for (auto const faults : {0, 1}) { // queued where nothing is read; outstanding where nothing is answered
        faults ? between.swallow_replies(true) : between.stall(true);
        command const large("SET", "key", std::string(1000, 'x'));
        redis::ignore_sink sink;
        tally seen;
        [[maybe_unused]] std::size_t before = 0;
        constexpr int rounds = 100, each = 3000;
        for (int round = 0; round < rounds; ++round) {
            if (round == rounds / 10)
                before = resident();
            for (int i = 0; i < each; ++i)
                redis.async_exec(large, sink, {.timeout = 5ms}, [&](error_code ec) { seen.note(ec); });
            io.restart();
            while (seen.total < (round + 1) * each && io.run_one_for(patience) != 0) {
            }
            auto const stats = redis.stats();
            EXPECT_LE(stats.queued, 1000u);
            EXPECT_LE(stats.queued_bytes, 1u << 20);
            EXPECT_LE(stats.in_flight + stats.tombstones, 1000u);
        }
        EXPECT_EQ(seen.total, rounds * each) << seen.text();
        EXPECT_EQ(seen.ok, 0);
        EXPECT_GT(seen.codes[error_code(errc::queue_full).message()], 0) << seen.text();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // which keep what is freed
        EXPECT_LT(resident(), before + (32u << 20));
#endif
        between.stall(false);
        between.swallow_replies(false);
        between.cut();
        run(io, [&]() -> asio::awaitable<void> {
            for (error_code ec = errc::timed_out; ec;)
                std::tie(ec, std::ignore) = co_await ask(redis, command("PING"));
        });
    }
}

TEST(redis_chaos, a_server_out_of_memory_refuses_and_is_back_when_it_has_some) {
    redis_server server;
    expect_survived(
        server,
        [&] {
            server.run({"CONFIG", "SET", "maxmemory", "1"});
        },
        errc::out_of_memory,
        [&] {
            server.run({"CONFIG", "SET", "maxmemory", "0"});
        });
}

TEST(redis_chaos, a_server_that_cannot_write_its_snapshot_refuses_and_is_back_when_it_may) {
    temporary_directory const place;
    auto const gone = place.path() + "/gone";
    std::filesystem::create_directory(gone);
    redis_server server({.tcp = false, .password = {}, .arguments = {"--dir", gone}});
    expect_survived(
        server,
        [&] {
            std::filesystem::remove_all(gone); // the superuser may write to any directory that is there
            server.run({"CONFIG", "SET", "save", "3600 1"});
            server.run({"BGSAVE"});
            while (server.run({"INFO", "persistence"}).find("rdb_last_bgsave_status:err") == std::string::npos) {
            }
        },
        errc::disk_error,
        [&] {
            server.run({"CONFIG", "SET", "stop-writes-on-bgsave-error", "no"});
        });
}

TEST(redis_chaos, a_server_busy_with_a_script_refuses_and_is_back_when_that_is_killed) {
    redis_server server;
    server.run({"CONFIG", "SET", "busy-reply-threshold", "10"});
    std::shared_ptr<void> endless;
    expect_survived(
        server,
        [&] {
            endless = server.send({"EVAL", "while true do end", "0"});
        },
        errc::busy,
        [&] {
            server.run({"SCRIPT", "KILL"});
        });
}

TEST(redis_chaos, a_server_that_sleeps_costs_nobody_more_than_the_deadline) {
    redis_server server({.tcp = false, .password = {}, .arguments = {"--enable-debug-command", "yes"}});
    std::shared_ptr<void> asleep;
    expect_survived(
        server,
        [&] {
            asleep = server.send({"DEBUG", "SLEEP", "0.7"});
        },
        errc::connection_lost,
        // Answered when it has woken.
        [&] { EXPECT_EQ(server.run({"PING"}), "PONG"); });
}

TEST(redis_chaos, scripts_and_keys_that_are_flushed_under_load_fail_nobody) {
    redis_server server;
    redis::script const code("increment", "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])");
    command increment;
    increment.evalsha(code, 2, 0).arg("flushed").arg("counter");
    asio::io_context io;
    auto options = lively_options(server.url());
    options.timeout = 10s;
    options.scripts = {&code};
    client redis(io, options);
    tally seen;
    int next_flush = 50;
    std::int64_t flushed = 0;
    run(io, [&]() -> asio::awaitable<void> {
        co_await redis.async_connect(use_result);
        co_await increment_until(
            redis, seen,
            [&] {
                if (seen.ok >= next_flush) {
                    next_flush += 50;
                    server.run({"SCRIPT", "FLUSH"});
                    flushed += server.integer({"EVAL",
                                               "local n = redis.call('GET', KEYS[1]) or '0' "
                                               "redis.call('FLUSHALL') return tonumber(n)",
                                               "1", "counter"});
                }
                return seen.ok >= 1000;
            },
            increment);
    });
    EXPECT_EQ(seen.ok, seen.total) << seen.text();
    EXPECT_GT(redis.stats().scripts_reloaded, 0u);
    EXPECT_EQ(flushed + server.integer({"EVAL", "return tonumber(redis.call('GET', KEYS[1]) or '0')", "1", "counter"}),
              seen.ok)
        << "each was executed once";
}

TEST(redis_chaos, nothing_is_left_open_by_a_hundred_reconnects) {
    redis_server server;
    relay between(server.socket_path());
    between.cut_after_reply_bytes(60); // about one handshake
    asio::io_context io;
    auto options = lively_options(between.unix_url());
    options.reconnect_max = 1ms;
    client redis(io, options);
    auto const highest_fd = [] {
        auto const fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::close(fd);
        return fd;
    };
    run(io, [&]() -> asio::awaitable<void> {
        auto const attempts = [&] { return redis.stats().connects + redis.stats().connect_failures; };
        while (attempts() < 10) {
            co_await ask(redis, command("PING"));
            co_await asio::post(io, asio::use_awaitable);
        }
        auto const before = highest_fd();
        while (attempts() < 110) {
            co_await ask(redis, command("PING"));
            co_await asio::post(io, asio::use_awaitable);
        }
        EXPECT_LE(highest_fd(), before + 8);
    });
}

} // namespace
