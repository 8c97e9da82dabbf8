#include <weir/rate_limit/limiter.hpp>
#include <weir/redis/server_process.hpp>

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// What an outage of Redis adds to a check: one process asks at a steady rate, a redis-server dies or stops under it,
// and comes back. The latency of a check counts from when it was to begin, so that a stall is that of all it kept
// waiting.

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
namespace asio = weir::asio;
namespace redis = weir::redis;

constexpr int rounds = 3;
constexpr auto period = 500us; // 2000 checks a second
constexpr std::size_t users = 500;
constexpr std::chrono::milliseconds warm_up = 500ms, before = 2s, first = 100ms, outage = 2s, after = 4s;

enum class answer : std::uint8_t { redis_allowed, redis_refused, local_allowed, local_refused, failed };
constexpr const char* answer_names[] = {"Redis allowed", "Redis refused", "local allowed", "local refused", "failed"};

struct sample {
    clock_type::time_point intended;
    /// When it was begun, and when answered, after that.
    std::chrono::duration<double, std::micro> begun, answered;
    answer said = answer::failed;
};

/// Asks from now until `end`, each check when its time has come, however long the others take.
class steady_load {
public:
    steady_load(asio::io_context& io, weir::limiter& subject, clock_type::time_point end)
        : subject_(subject)
        , timer_(io)
        , next_(clock_type::now() + period)
        , end_(end) {
        for (std::size_t i = 0; i < users; ++i)
            names_.push_back("user" + std::to_string(i));
        wait();
    }
    std::deque<sample> const& samples() const noexcept { return samples_; }
    bool ended() const noexcept { return next_ >= end_ && open_ == 0; }

private:
    struct check {
        weir::decision said;
    };

    void wait() {
        timer_.expires_at(next_);
        timer_.async_wait([this](weir::error_code) {
            for (auto const now = clock_type::now(); next_ <= now && next_ < end_; next_ += period)
                begin();
            if (next_ < end_)
                wait();
        });
    }

    void begin() {
        auto& one = samples_.emplace_back();
        one.intended = next_;
        one.begun = clock_type::now() - next_;
        if (free_.empty())
            free_.push_back(std::make_unique<check>());
        auto* const mine = free_.back().release();
        free_.pop_back();
        weir::charge const charges[] = {{&rule_, names_[samples_.size() % users], "endpoint"}};
        ++open_;
        subject_.async_check(charges, mine->said, [this, &one, mine](weir::error_code ec) {
            auto const& said = mine->said;
            one.answered = clock_type::now() - one.intended;
            one.said = ec           ? answer::failed
                       : said.error ? (said.allowed ? answer::local_allowed : answer::local_refused)
                                    : (said.allowed ? answer::redis_allowed : answer::redis_refused);
            free_.emplace_back(mine);
            --open_;
        });
    }

    weir::limiter& subject_;
    weir::rule const rule_{
        .name = "steady", .limit = 100, .window = 10s, .on_redis_failure = weir::on_redis_failure::local};
    std::vector<std::string> names_;
    asio::steady_timer timer_;
    clock_type::time_point next_, end_;
    std::deque<sample> samples_;
    std::vector<std::unique_ptr<check>> free_;
    std::size_t open_ = 0;
};

/// A redis-server whose outages are ours, at one address.
class frail_server {
public:
    frail_server() {
        std::string name = std::filesystem::temp_directory_path() / "weir-bench-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary directory");
        how_.log_path = name + "/redis.log";
        how_.endpoint.via = redis::address::transport::unix_socket;
        how_.endpoint.path = name + "/redis.sock";
        how_.arguments = {"--port", "0",     "--unixsocket", how_.endpoint.path, "--save",
                          "",       "--dir", name,           "--loglevel",       "warning"};
        directory_ = std::move(name);
        start();
    }
    frail_server(frail_server const&) = delete;
    frail_server& operator=(frail_server const&) = delete;
    ~frail_server() {
        process_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }
    redis::address const& endpoint() const noexcept { return how_.endpoint; }
    void start() { process_.emplace(how_); }
    void kill() { process_->kill(); }
    void signal(int what) const { ::kill(process_->pid(), what); }

private:
    std::string directory_;
    redis::detail::server_process::settings how_;
    std::optional<redis::detail::server_process> process_;
};

struct phase {
    const char* name;
    std::vector<double> latency, lateness;
    std::array<std::size_t, std::size(answer_names)> answers{};
};

double quantile(std::vector<double>& sorted, double q) {
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

void print(const char* what, std::array<phase, 4>& phases) {
    std::printf("%s; microseconds from when a check was to begin\n", what);
    std::printf("%-28s %8s %8s %8s %8s %10s %14s   %s\n", "", "checks", "p50", "p99", "max", "p99 added", "p99 of load",
                "answers");
    double p99_before = 0;
    for (auto& one : phases) {
        if (one.latency.empty())
            throw std::runtime_error(std::string{"nothing was asked "} + one.name);
        std::sort(one.latency.begin(), one.latency.end());
        std::sort(one.lateness.begin(), one.lateness.end());
        auto const p99 = quantile(one.latency, 0.99);
        if (&one == phases.data())
            p99_before = p99;
        std::printf("%-28s %8zu %8.0f %8.0f %8.0f %+10.0f %14.0f  ", one.name, one.latency.size(),
                    quantile(one.latency, 0.5), p99, one.latency.back(), p99 - p99_before,
                    quantile(one.lateness, 0.99));
        for (std::size_t i = 0; i < one.answers.size(); ++i)
            if (one.answers[i] > 0)
                std::printf(" %s %zu", answer_names[i], one.answers[i]);
        std::printf("\n");
    }
    std::printf("\n");
}

/// One outage; adds what was measured to `into`.
void measure(bool killed, std::array<phase, 4>& into) {
    frail_server server;
    asio::io_context io(1);
    redis::client_options options;
    options.server = server.endpoint();
    options.scripts = weir::rate_limit_scripts();
    redis::client client(io, std::move(options));
    std::deque<sample> samples;
    auto const begun = clock_type::now();
    std::thread asker([&] {
        auto subject = std::make_optional<weir::limiter>(client);
        steady_load load(io, *subject, begun + warm_up + before + outage + after);
        while (!load.ended() && io.run_one() > 0) {
        }
        samples = load.samples();
        subject.reset();
        client.close();
        io.run();
    });
    std::this_thread::sleep_until(begun + warm_up + before);
    auto const away = clock_type::now();
    if (killed)
        server.kill();
    else
        server.signal(SIGSTOP);
    std::this_thread::sleep_until(away + outage);
    if (killed)
        server.start();
    else
        server.signal(SIGCONT);
    auto const back = clock_type::now();
    asker.join();
    for (auto const& one : samples) {
        if (one.intended < begun + warm_up)
            continue;
        auto& its = into[one.intended < away ? 0 : one.intended < away + first ? 1 : one.intended < back ? 2 : 3];
        its.latency.push_back(one.answered.count());
        its.lateness.push_back(one.begun.count());
        ++its.answers[static_cast<std::size_t>(one.said)];
    }
}

} // namespace

int main() {
    std::printf("2000 checks a second by one thread, rule \"local\", %d outages of 2 s each\n\n", rounds);
    for (bool const killed : {true, false}) {
        std::array<phase, 4> phases{phase{"before", {}, {}}, phase{"in its first 100 ms", {}, {}},
                                    phase{"after that", {}, {}}, phase{"4 s after its return", {}, {}}};
        for (int i = 0; i < rounds; ++i)
            measure(killed, phases);
        print(killed ? "redis-server killed, and started anew" : "redis-server stopped (SIGSTOP), and continued",
              phases);
    }
}
