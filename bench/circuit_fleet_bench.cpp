#include <weir/circuit/registry.hpp>
#include <weir/redis/embedded_server.hpp>
#include <weir/redis/url.hpp>

#include <boost/asio/steady_timer.hpp>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <vector>

// A fleet of processes on one Redis of its own: how soon all know of a change, how many calls pass after an outage
// began, what one instance with a bad network does to the others, and how many commands Redis gets for it all.

namespace {

using namespace std::chrono_literals;
using namespace weir::circuit;
namespace asio = weir::asio;
namespace redis = weir::redis;

constexpr std::size_t most = 8;

/// What all processes see.
struct shared {
    std::atomic<int> ready{0};
    std::atomic<bool> outage{false};
    std::atomic<bool> over{false};
    std::array<std::atomic<std::uint64_t>, most> passed{}, passed_in_outage{}, refused{};
    std::array<std::atomic<std::uint32_t>, 100'000> delays{};
    std::atomic<std::size_t> delay_count{0};
};

class board {
public:
    board()
        : memory_(::mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
        if (memory_ == MAP_FAILED)
            throw std::bad_alloc();
        all_ = new (memory_) shared;
    }
    board(board const&) = delete;
    board& operator=(board const&) = delete;
    ~board() { ::munmap(memory_, sizeof(shared)); }
    shared* operator->() const noexcept { return all_; }

private:
    void* memory_;
    shared* all_;
};

settings fleet_settings(std::uint32_t in_a_row = 0) {
    settings how;
    how.consecutive_failures = in_a_row;
    how.window_time = 1s;
    how.open_for = how.open_max = 1min;
    return how;
}

redis::client_options options_for(redis::address const& server) {
    redis::client_options options;
    options.server = server;
    options.scripts = scripts();
    options.timeout = 1s;
    return options;
}

/// One process: `rate` calls a second to an upstream that fails in the outage, or always for one that is cut off.
void instance(board const& all, redis::address const& server, std::size_t self, int rate, bool cut_off,
              settings const& how) {
    asio::io_context io(1);
    redis::client client(io, options_for(server));
    redis::subscriber news(io, options_for(server));
    registry_options options;
    options.on_push = [&](std::string_view, std::chrono::microseconds delay) {
        if (auto const at = all->delay_count++; at < all->delays.size())
            all->delays[at] = static_cast<std::uint32_t>(delay.count());
    };
    registry circuits(client, news, options);
    auto api = circuits.get("api", how);
    asio::steady_timer pace(io);
    std::function<void()> const call = [&] {
        if (all->over)
            return io.stop();
        bool const outage = all->outage;
        auto leave = api.try_acquire();
        if (leave) {
            ++all->passed[self];
            if (outage)
                ++all->passed_in_outage[self];
            leave.record(outage || cut_off ? outcome::failure : outcome::success);
        } else {
            ++all->refused[self];
        }
        pace.expires_at(pace.expiry() + std::chrono::nanoseconds{1s} / rate);
        pace.async_wait([&](weir::error_code) { call(); });
    };
    std::function<void()> const when_ready = [&] {
        pace.expires_after(10ms);
        pace.async_wait([&](weir::error_code) {
            if (!api.attached() || !news.connected())
                return when_ready();
            ++all->ready;
            call();
        });
    };
    when_ready();
    io.run();
}

/// Runs `count` instances, and `body` in the parent once all are ready.
void fleet(board const& all, redis::address const& server, std::size_t count, int rate, int cut_off,
           std::function<void()> const& body, settings const& how = fleet_settings()) {
    std::vector<pid_t> children;
    for (std::size_t i = 0; i < count; ++i) {
        auto const child = ::fork();
        if (child == 0) {
            try {
                instance(all, server, i, rate, static_cast<int>(i) == cut_off, how);
            } catch (std::exception const& e) {
                std::fprintf(stderr, "instance: %s\n", e.what());
            }
            ::_exit(0);
        }
        children.push_back(child);
    }
    while (all->ready < static_cast<int>(count))
        ::usleep(1000);
    ::usleep(1'500'000); // a window full of good results
    body();
    all->over = true;
    for (auto const each : children)
        ::waitpid(each, nullptr, 0);
}

/// One command after another, in the parent.
class console {
public:
    explicit console(redis::address const& server)
        : client_(io_, options_for(server)) {}
    ~console() {
        client_.close();
        io_.run();
    }
    std::string ask(redis::command const& what) {
        redis::string_sink reply;
        send(what, reply);
        return reply.value();
    }
    void send(redis::command const& what, redis::reply_sink& reply) {
        client_.async_exec(what, reply, {}, [&](weir::error_code) { io_.stop(); });
        io_.restart();
        io_.run();
    }
    long evalsha_calls() {
        auto const text = ask(redis::command("INFO", "commandstats"));
        auto const at = text.find("cmdstat_evalsha:calls=");
        return at == std::string::npos ? 0 : std::atol(text.c_str() + at + 22);
    }

private:
    asio::io_context io_{1};
    redis::client client_;
};

std::uint64_t sum(std::array<std::atomic<std::uint64_t>, most> const& of) {
    std::uint64_t all = 0;
    for (auto const& each : of)
        all += each;
    return all;
}

void measure_push(redis::address const& server) {
    board const all;
    fleet(all, server, 8, 100, -1, [&] {
        console by_hand(server);
        script_calls const calls("", "api", weir::key_layout::standalone, fleet_settings(), 300ms, "bench");
        script_reply reply;
        redis::command what;
        for (int i = 0; i < 300; ++i) {
            override_request change{i % 2 ? std::nullopt : std::optional(state::metrics_only), {}, "bench", ""};
            calls.encode(what, change);
            by_hand.send(what, reply);
            ::usleep(10'000);
        }
        ::usleep(200'000);
    });
    std::vector<std::uint32_t> delays(all->delays.begin(), all->delays.begin() + all->delay_count);
    std::sort(delays.begin(), delays.end());
    if (delays.empty())
        return;
    std::printf("push delay, 8 processes, %zu arrivals: p50 %.2f ms, p99 %.2f ms, most %.2f ms\n", delays.size(),
                delays[delays.size() / 2] / 1e3, delays[delays.size() * 99 / 100] / 1e3, delays.back() / 1e3);
}

void measure_outage(redis::address const& server, std::size_t count, std::uint32_t in_a_row) {
    board const all;
    constexpr int rate = 500;
    fleet(
        all, server, count, rate, -1,
        [&] {
            console redis_console(server);
            redis_console.ask(redis::command("CONFIG", "RESETSTAT"));
            auto const calls = sum(all->passed);
            ::usleep(1'000'000);
            std::printf(
                "%zu instances of %d calls/s%s: %.4f commands a call while closed (%ld in a second, for %llu calls)",
                count, rate, in_a_row ? ", 10 failures in a row trip" : "",
                static_cast<double>(redis_console.evalsha_calls()) / static_cast<double>(sum(all->passed) - calls),
                redis_console.evalsha_calls(), static_cast<unsigned long long>(sum(all->passed) - calls));
            all->outage = true;
            ::usleep(2'000'000);
            redis_console.ask(redis::command("CONFIG", "RESETSTAT"));
            auto const refused = sum(all->refused);
            auto const passed = sum(all->passed_in_outage);
            ::usleep(1'000'000);
            std::printf("; an outage lets %llu calls through, then %llu; %ld commands a second for %llu refusals\n",
                        static_cast<unsigned long long>(passed),
                        static_cast<unsigned long long>(sum(all->passed_in_outage) - passed),
                        redis_console.evalsha_calls(), static_cast<unsigned long long>(sum(all->refused) - refused));
        },
        fleet_settings(in_a_row));
}

void measure_cut_off(redis::address const& server) {
    board const all;
    fleet(all, server, 8, 500, 3, [&] { ::usleep(3'000'000); });
    std::uint64_t others = 0;
    for (std::size_t i = 0; i < 8; ++i)
        others += i == 3 ? 0 : all->refused[i].load();
    std::printf("one of 8 cut off from the upstream: it was refused %llu calls, the other 7 together %llu of %llu\n",
                static_cast<unsigned long long>(all->refused[3].load()), static_cast<unsigned long long>(others),
                static_cast<unsigned long long>(sum(all->passed) + others));
}

void with_a_redis_of_its_own(std::function<void(redis::address const&)> const& body) {
    auto const server = redis::embedded_server::start();
    weir::error_code ec;
    auto const address = redis::parse_url(server.url(), ec);
    body(address);
}

} // namespace

int main() {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    with_a_redis_of_its_own(measure_push);
    for (std::uint32_t const in_a_row : {0u, 10u})
        for (std::size_t const count : {1u, 2u, 8u})
            with_a_redis_of_its_own([=](redis::address const& server) { measure_outage(server, count, in_a_row); });
    with_a_redis_of_its_own(measure_cut_off);
}
