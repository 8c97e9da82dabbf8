#include <weir/lock/manager.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/subscriber.hpp>
#include <weir/redis/url.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

// Locks on a Redis that is given; run by bench/locks.py, which sets the figures beside those of others.
//   weir_lock_bench URL pairs weir|bare COUNT CONCURRENCY    taken and given back, each coroutine its own lock
//   weir_lock_bench URL handoff PROCESSES SECONDS            one lock that all of them want
//   weir_lock_bench URL valid                                what it costs to ask a lease whether it is valid
// Prints an object of JSON.

namespace {

using namespace std::chrono_literals;
namespace asio = weir::asio;
namespace redis = weir::redis;
namespace lock = weir::lock;
using weir::boot_clock;

redis::client_options options_for(std::string const& url) {
    redis::client_options options;
    weir::error_code ec;
    options.server = redis::parse_url(url, ec);
    if (ec)
        throw std::runtime_error("no URL: " + url);
    options.timeout = 10s;
    options.health_interval = 30s;
    options.scripts = lock::scripts();
    return options;
}

double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

asio::awaitable<void> weir_pairs(lock::manager& locks, std::string name, int count) {
    lock::lock_options const how{.wait = 10s};
    for (int i = 0; i < count; ++i) {
        auto lease = co_await locks.async_lock(name, how, asio::use_awaitable);
        co_await lease.async_release(asio::use_awaitable);
    }
}

asio::awaitable<void> bare_pairs(redis::client& client, std::string name, int count) {
    redis::command take("SET", name, "0123456789abcdef0123456789abcdef", "NX", "PX", 30000), give("DEL", name);
    redis::ignore_sink ignored;
    for (int i = 0; i < count; ++i) {
        co_await client.async_exec(take, ignored, {}, asio::use_awaitable);
        co_await client.async_exec(give, ignored, {}, asio::use_awaitable);
    }
}

int pairs(std::string const& url, bool weir, int count, int concurrency) {
    asio::io_context io{1};
    redis::client client(io, options_for(url));
    redis::subscriber news(io, options_for(url));
    lock::manager locks(client, news);
    auto const round = [&](int each) {
        int left = concurrency;
        for (int i = 0; i < concurrency; ++i) {
            auto name = "bench" + std::to_string(i);
            asio::co_spawn(io, weir ? weir_pairs(locks, name, each) : bare_pairs(client, name, each),
                           [&](std::exception_ptr thrown) {
                               if (thrown)
                                   std::rethrow_exception(thrown);
                               if (--left == 0)
                                   io.stop();
                           });
        }
        io.restart();
        io.run();
    };
    round(10); // connects
    auto const before = client.stats().submitted;
    auto const cpu = cpu_seconds();
    auto const began = boot_clock::now();
    round(count / concurrency);
    auto const seconds = std::chrono::duration<double>(boot_clock::now() - began).count();
    auto const done = static_cast<double>(count / concurrency * concurrency);
    std::printf("{\"pairs_per_second\": %.0f, \"client_cpu_us\": %.2f, \"round_trips\": %.2f, \"pairs\": %.0f}\n",
                done / seconds, 1e6 * (cpu_seconds() - cpu) / done,
                static_cast<double>(client.stats().submitted - before) / done, done);
    return 0;
}

/// What all processes see.
struct board {
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::atomic<std::int64_t> released{0};
    std::atomic<std::uint32_t> count{0};
    std::array<std::atomic<std::uint32_t>, 1'000'000> delays{};
};

asio::awaitable<void> contend(lock::manager& locks, board& all, boot_clock::time_point end, asio::io_context& io) {
    // One round first, so that connection and subscription stand.
    lock::lock_options const how{.ttl = 10s, .wait = 60s};
    { auto const first = co_await locks.async_lock("warm", how, asio::use_awaitable); }
    while (boot_clock::now() < end) {
        auto lease = co_await locks.async_lock("bench", how, asio::use_awaitable);
        auto const now = boot_clock::now().time_since_epoch().count();
        if (auto const since = all.released.load(); since > 0)
            if (auto const place = all.count.fetch_add(1); place < all.delays.size())
                all.delays[place] = static_cast<std::uint32_t>((now - since) / 100);
        all.released = boot_clock::now().time_since_epoch().count();
        co_await lease.async_release(asio::use_awaitable);
    }
    io.stop();
}

asio::awaitable<void> round_trips(redis::client& client, std::vector<std::int64_t>& into, asio::io_context& io) {
    redis::command const ping("PING");
    redis::ignore_sink ignored;
    for (int i = 0; i < 5000; ++i) {
        auto const began = boot_clock::now();
        co_await client.async_exec(ping, ignored, {}, asio::use_awaitable);
        into.push_back((boot_clock::now() - began).count());
    }
    io.stop();
}

double round_trip_us(std::string const& url) {
    asio::io_context io{1};
    redis::client client(io, options_for(url));
    std::vector<std::int64_t> took;
    asio::co_spawn(io, round_trips(client, took, io), asio::detached);
    io.run();
    std::nth_element(took.begin(), took.begin() + 2500, took.end());
    return static_cast<double>(took[2500]) / 1000;
}

int handoff(std::string const& url, int processes, int seconds) {
    auto const round_trip = round_trip_us(url);
    auto* const memory = ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        throw std::bad_alloc();
    auto& all = *new (memory) board;
    auto const end = boot_clock::now() + std::chrono::seconds{seconds};
    for (int i = 0; i < processes; ++i)
        if (::fork() == 0) {
            asio::io_context io{1};
            redis::client client(io, options_for(url));
            redis::subscriber news(io, options_for(url));
            lock::manager locks(client, news);
            asio::co_spawn(io, contend(locks, all, end, io), asio::detached);
            io.run();
            locks.close();
            io.restart();
            io.run_for(50ms);
            ::_exit(0);
        }
    while (::wait(nullptr) > 0) {
    }
    auto const count = std::min<std::size_t>(all.count, all.delays.size());
    std::vector<std::uint32_t> delays(all.delays.begin(), all.delays.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(delays.begin(), delays.end());
    auto const at = [&](double part) {
        return count ? delays[static_cast<std::size_t>(part * static_cast<double>(count - 1))] / 10.0 : 0;
    };
    std::printf("{\"handoffs\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"round_trip_us\": %.1f}\n", count, at(0.5),
                at(0.99), round_trip);
    return 0;
}

int valid(std::string const& url) {
    asio::io_context io{1};
    redis::client client(io, options_for(url));
    lock::manager locks(client);
    lock::lease lease;
    locks.async_lock("bench", {}, [&](weir::error_code, lock::lease got) {
        lease = std::move(got);
        io.stop();
    });
    io.run();
    constexpr int count = 10'000'000;
    int yes = 0;
    auto const began = boot_clock::now();
    for (int i = 0; i < count; ++i)
        yes += lease.valid() ? 1 : 0;
    auto const each = std::chrono::duration<double, std::nano>(boot_clock::now() - began).count() / count;
    std::printf("{\"ns\": %.1f, \"valid\": %s}\n", each, yes == count ? "true" : "false");
    return 0;
}

} // namespace

int main(int argc, char** argv) try {
    if (argc == 6 && !std::strcmp(argv[2], "pairs"))
        return pairs(argv[1], !std::strcmp(argv[3], "weir"), std::atoi(argv[4]), std::atoi(argv[5]));
    if (argc == 5 && !std::strcmp(argv[2], "handoff"))
        return handoff(argv[1], std::atoi(argv[3]), std::atoi(argv[4]));
    if (argc == 3 && !std::strcmp(argv[2], "valid"))
        return valid(argv[1]);
    std::fputs("usage: see the head of bench/lock_bench.cpp, or run bench/locks.py\n", stderr);
    return 2;
} catch (std::exception const& e) {
    std::fprintf(stderr, "weir_lock_bench: %s\n", e.what());
    return 1;
}
