#include "admin/io.hpp"
#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/redis_session.hpp"
#include "config/values.hpp"

#include <weir/detail/random_id.hpp>
#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <unistd.h>

namespace weir::cli {
namespace {

using admin::use_result;
using clock = std::chrono::steady_clock;

/// What a measurement asks.
struct plan {
    std::vector<rule> rules;
    std::chrono::milliseconds duration{2000};
    std::size_t concurrency = 64;
    std::size_t users = 1000;
};

/// One rule, asked by so many at a time.
struct measured {
    std::string rule;
    std::string algorithm;
    std::size_t concurrency = 0;
    double per_second = 0;
    std::uint64_t decisions = 0, refused = 0, failed = 0;
    std::chrono::nanoseconds p50{0}, p99{0}, worst{0};
};

std::size_t number_of(char const* flag, std::string const& text, std::size_t otherwise, std::size_t most) {
    if (text.empty())
        return otherwise;
    try {
        if (auto const value = config::parse_whole_number(text); value >= 1 && value <= most)
            return static_cast<std::size_t>(value);
    } catch (config::value_error const&) {
    }
    throw failure("usage", std::string(flag) + ": a whole number from 1 to " + std::to_string(most), {});
}

plan make_plan(bench_options const& options) {
    plan made;
    made.concurrency = number_of("--concurrency", options.concurrency, made.concurrency, 4096);
    made.users = number_of("--users", options.users, made.users, 100'000);
    try {
        if (!options.duration.empty())
            made.duration = config::parse_duration(options.duration);
        auto const how =
            options.algorithm.empty() ? algorithm::sliding_window : config::parse_algorithm(options.algorithm);
        for (auto const& text : options.limits) {
            made.rules.push_back(config::parse_rule(text));
            made.rules.back().algorithm = how;
        }
        if (made.rules.empty())
            for (auto const each : {algorithm::sliding_window, algorithm::token_bucket, algorithm::fixed_window}) {
                made.rules.push_back(config::parse_rule("100/1m"));
                made.rules.back().algorithm = options.algorithm.empty() ? each : how;
                if (!options.algorithm.empty())
                    break;
            }
    } catch (config::value_error const& e) {
        throw failure("usage", e.what(), {});
    }
    if (made.duration < std::chrono::milliseconds{10} || made.duration > std::chrono::minutes{10})
        throw failure("usage", "--duration: from 10ms to 10m", {});
    for (auto const& each : made.rules)
        if (auto const problem = problem_of(each); !problem.empty())
            throw failure("usage", "--limit: " + problem, {});
    return made;
}

/// "  sliding_window  64 in flight  1.2 s  180k decisions" over and over in one line; nothing where no terminal is.
class progress {
public:
    void show(measured const& so_far, clock::duration elapsed) {
        auto const now = clock::now();
        if (!wanted_ || now - last_ < std::chrono::milliseconds{200})
            return;
        last_ = now;
        std::fprintf(stderr, "\r\x1b[K  %s %s, %zu in flight: %.1f s, %llu decisions", so_far.rule.c_str(),
                     so_far.algorithm.c_str(), so_far.concurrency, std::chrono::duration<double>(elapsed).count(),
                     static_cast<unsigned long long>(so_far.decisions));
    }
    void clear() {
        if (wanted_)
            std::fputs("\r\x1b[K", stderr);
    }

private:
    bool const wanted_ = ::isatty(STDERR_FILENO) != 0;
    clock::time_point last_{};
};

class bench {
public:
    bench(redis_session& session, plan const& what)
        : session_(session)
        , plan_(what) {}

    measured measure(rule const& one, std::size_t concurrency) {
        result_ = {};
        result_.rule = one.name;
        result_.algorithm = to_string(one.algorithm);
        result_.concurrency = concurrency;
        latencies_.clear();
        limiter_options how;
        how.key_prefix = prefix_;
        limiter asked(session_.client(), one, std::move(how));
        began_ = clock::now();
        running_ = concurrency;
        for (std::size_t i = 0; i < concurrency; ++i)
            asio::co_spawn(session_.context(), ask(asked, i), [this](std::exception_ptr const& thrown) {
                if (thrown)
                    failed_ = thrown;
                if (--running_ == 0)
                    session_.context().stop();
            });
        session_.context().restart();
        session_.context().run();
        progress_.clear();
        if (failed_)
            std::rethrow_exception(failed_);
        finish();
        session_.run(forget(asked));
        return result_;
    }

private:
    std::string user(std::size_t i) const { return "user" + std::to_string(i % plan_.users); }

    asio::awaitable<void> ask(limiter& asked, std::size_t first) {
        for (auto next = first;; next += result_.concurrency) {
            auto const before = clock::now();
            if (before - began_ >= plan_.duration)
                co_return;
            auto const who = user(next);
            auto const [ec, said] = co_await asked.async_check(who, "bench", 1, use_result);
            auto const after = clock::now();
            ++result_.decisions;
            if (ec || said.error) {
                ++result_.failed;
                last_error_ = ec ? ec : said.error;
            } else if (!said.allowed) {
                ++result_.refused;
            }
            latencies_.push_back(after - before);
            progress_.show(result_, after - began_);
        }
    }

    asio::awaitable<int> forget(limiter& asked) {
        for (std::size_t i = 0; i < plan_.users; ++i)
            if (auto const [ec, n] = co_await asked.async_reset(user(i), "bench", use_result); ec)
                throw redis_failure(ec, {}, session_.where());
        co_return 0;
    }

    void finish() {
        auto const seconds = std::chrono::duration<double>(clock::now() - began_).count();
        if (result_.failed == result_.decisions)
            throw redis_failure(last_error_, {}, session_.where());
        result_.per_second = static_cast<double>(result_.decisions) / seconds;
        auto const at = [&](double share) {
            auto const rank = static_cast<std::size_t>(share * static_cast<double>(latencies_.size() - 1));
            auto const place = latencies_.begin() + static_cast<std::ptrdiff_t>(rank);
            std::nth_element(latencies_.begin(), place, latencies_.end());
            return *place;
        };
        result_.p50 = at(0.5);
        result_.p99 = at(0.99);
        result_.worst = at(1);
    }

    redis_session& session_;
    plan const& plan_;
    std::string const prefix_ = "weir-bench:" + detail::random_id() + ':';
    measured result_;
    std::vector<std::chrono::nanoseconds> latencies_;
    clock::time_point began_;
    std::size_t running_ = 0;
    std::exception_ptr failed_;
    error_code last_error_;
    progress progress_;
};

double in_microseconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::micro>(time).count();
}

void print_head() {
    std::printf("%-20s %-16s %10s %14s %10s %10s %10s %9s %8s\n", "rule", "algorithm", "in flight", "decisions/s",
                "p50 us", "p99 us", "max us", "refused", "failed");
}

void print(measured const& one) {
    std::printf("%-20s %-16s %10zu %14.0f %10.0f %10.0f %10.0f %8.1f%% %8llu\n", one.rule.c_str(),
                one.algorithm.c_str(), one.concurrency, one.per_second, in_microseconds(one.p50),
                in_microseconds(one.p99), in_microseconds(one.worst),
                100.0 * static_cast<double>(one.refused) / static_cast<double>(one.decisions),
                static_cast<unsigned long long>(one.failed));
    std::fflush(stdout);
}

nlohmann::ordered_json show(measured const& one) {
    return {{"rule", one.rule},
            {"algorithm", one.algorithm},
            {"in_flight", one.concurrency},
            {"decisions", one.decisions},
            {"per_second", std::round(one.per_second)},
            {"p50_us", in_microseconds(one.p50)},
            {"p99_us", in_microseconds(one.p99)},
            {"max_us", in_microseconds(one.worst)},
            {"refused", one.refused},
            {"failed", one.failed}};
}

} // namespace

int run_command(bench_options const& options, bool json) {
    auto const what = make_plan(options);
    redis_session session(redis_address(options.redis), std::chrono::seconds{2}, rate_limit_scripts());
    bench runs(session, what);
    auto all = nlohmann::ordered_json::array();
    if (!json)
        print_head();
    for (auto const& each : what.rules)
        for (auto const concurrency : {std::size_t{1}, what.concurrency}) {
            auto const one = runs.measure(each, concurrency);
            if (json)
                all.push_back(show(one));
            else
                print(one);
            if (what.concurrency == 1)
                break;
        }
    if (json)
        std::cout << json_text({{"redis", session.where().display()}, {"users", what.users}, {"results", all}});
    return exit_yes;
}

} // namespace weir::cli
