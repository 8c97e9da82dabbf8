#include <weir/rate_limit/limiter.hpp>
#include <weir/redis/embedded_server.hpp>
#include <weir/redis/url.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// Decisions a second of one process and one Redis, by what spares Redis: the same checks, in turn, in one run.

namespace {

using namespace std::chrono_literals;
namespace asio = weir::asio;
namespace redis = weir::redis;

constexpr int rounds = 5;
constexpr int at_once = 128;
constexpr auto slice = 400ms;

struct mode {
    std::string name;
    weir::rule rule;
    std::function<void(weir::limiter_options&)> change;
    bool at_once_only = false;
    std::vector<double> rates{};
    std::vector<double> trips{};
    weir::permit_stock::figures figures{};
};

/// Commands that Redis has run.
asio::awaitable<std::int64_t> commands(redis::client& client) {
    redis::command const info{"INFO", "stats"};
    redis::string_sink sink;
    co_await client.async_exec(info, sink, redis::exec_options{}, asio::use_awaitable);
    auto const& text = sink.value();
    co_return std::stoll(text.substr(text.find("total_commands_processed:") + 25));
}

asio::awaitable<void> ask(weir::limiter& subject, mode const& how, std::chrono::steady_clock::time_point end,
                          std::uint64_t& decided, int& running) {
    weir::decision said;
    weir::error_code ec;
    weir::charge const one[] = {{&how.rule, "everybody", "endpoint"}};
    while (std::chrono::steady_clock::now() < end) {
        for (int i = 0; i < 64; ++i) {
            if (how.at_once_only && subject.try_check(one, said)) {
                ++decided;
                continue;
            }
            co_await subject.async_check(one, said, asio::redirect_error(asio::use_awaitable, ec));
            if (ec || said.error)
                throw std::runtime_error("a check failed: " + (ec ? ec : said.error).message());
            ++decided;
        }
        if (how.at_once_only)
            co_await asio::post(asio::use_awaitable); // what was asked for in the background comes in
    }
    --running;
}

asio::awaitable<void> measure(redis::client& client, std::vector<mode>& modes) {
    for (int round = 0; round < rounds; ++round) {
        for (auto& how : modes) {
            weir::limiter_options options;
            how.change(options);
            weir::limiter subject(client, std::move(options));
            auto const before = co_await commands(client);
            std::uint64_t decided = 0;
            int running = how.at_once_only ? 1 : at_once;
            auto const begun = std::chrono::steady_clock::now();
            for (int i = running; i > 0; --i)
                asio::co_spawn(co_await asio::this_coro::executor, ask(subject, how, begun + slice, decided, running),
                               [](std::exception_ptr failed) {
                                   if (failed)
                                       std::rethrow_exception(failed);
                               });
            while (running > 0)
                co_await asio::post(asio::use_awaitable);
            std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begun;
            how.rates.push_back(static_cast<double>(decided) / took.count());
            how.trips.push_back(static_cast<double>(co_await commands(client) - before) / static_cast<double>(decided));
            how.figures = subject.charged_ahead();
        }
    }
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void print(std::vector<mode> const& modes) {
    std::printf("decisions a second on one hot key, %d at once, one thread; medians of %d rounds\n\n", at_once, rounds);
    std::printf("%-34s %12s %8s %22s\n", "", "decisions/s", "ratio", "Redis commands each");
    for (auto const& how : modes)
        std::printf("%-34s %12.0f %8.2f %22.5f\n", how.name.c_str(), median(how.rates),
                    median(how.rates) / median(modes[0].rates), median(how.trips));
    for (auto const& how : modes)
        if (how.figures.taken > 0)
            std::printf(
                "%s: of %llu units charged ahead in the last round %.2f %% were used, the rest given back or held\n",
                how.name.c_str(), static_cast<unsigned long long>(how.figures.taken),
                100.0 * static_cast<double>(how.figures.used) / static_cast<double>(how.figures.taken));
}

} // namespace

int main() {
    auto const server = redis::embedded_server::start();
    asio::io_context io(1);
    redis::client_options options;
    weir::error_code ec;
    options.server = redis::parse_url(server.url(), ec);
    options.timeout = 10s;
    options.scripts = weir::rate_limit_scripts();
    redis::client client(io, std::move(options));

    weir::rule const wide{.name = "wide", .limit = 1'000'000'000, .window = 1s};
    auto leased = wide;
    leased.name = "leased";
    leased.lease = 100ms;
    weir::rule const used_up{.name = "used-up", .limit = 1, .window = std::chrono::hours{1}};
    auto const nothing = [](weir::limiter_options&) {};
    std::vector<mode> modes;
    modes.push_back({"one trip each", wide, [](weir::limiter_options& o) { o.batching = false; }});
    modes.push_back({"shared calls", wide, nothing});
    modes.push_back({"refused, remembered", used_up, [](weir::limiter_options& o) { o.remembered_refusals = 100; }});
    modes.push_back({"charged ahead", leased, nothing});
    modes.push_back({"charged ahead, try_check", leased, nothing, true});
    asio::co_spawn(io, measure(client, modes), [&](std::exception_ptr failed) {
        io.stop();
        if (failed)
            std::rethrow_exception(failed);
    });
    io.run();
    print(modes);
}
