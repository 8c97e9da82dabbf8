// Our client against a raw hiredis loop that pipelines by hand and blocks in read(), on one unix socket, one script:
// how many operations a second, and how much client CPU each. Beside them the least that any event loop does: send,
// wait, receive, and nothing else but counting the replies. Rounds are interleaved, client and server keep to a
// core each, figures are medians, and only the ratios mean anything.
#include <weir/weir.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <functional>
#include <hiredis/hiredis.h>
#include <memory>
#include <sched.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace weir;
using redis::client;

constexpr int rounds = 101; // short ones, so that what else the machine does falls on both

redis::script const& increment() {
    static redis::script const code("increment", "return redis.call('INCR', KEYS[1])");
    return code;
}

double seconds(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct figures {
    double per_second;
    double cpu_microseconds;
};

figures measure(int operations, std::function<void()> const& body) {
    auto const wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    body();
    return {operations / (seconds(CLOCK_MONOTONIC) - wall),
            (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu) / operations * 1e6};
}

using hiredis_connection = std::unique_ptr<redisContext, decltype(&::redisFree)>;

hiredis_connection connect(std::string const& path) {
    hiredis_connection made(::redisConnectUnix(path.c_str()), &::redisFree);
    if (!made || made->err)
        throw std::runtime_error("hiredis does not connect to " + path);
    return made;
}

// `depth` commands in one write, then `depth` replies, and so on.
class hiredis_loop {
public:
    explicit hiredis_loop(std::string const& path)
        : context_(connect(path)) {
        ::freeReplyObject(::redisCommand(context_.get(), "SCRIPT LOAD %s", increment().source().c_str()));
    }

    void run(int operations, int depth) {
        char const* arguments[] = {"EVALSHA", increment().sha1().c_str(), "1", "counter"};
        std::size_t const sizes[] = {7, 40, 1, 7};
        for (int done = 0; done < operations; done += depth) {
            for (int i = 0; i < depth; ++i)
                ::redisAppendCommandArgv(context_.get(), 4, arguments, sizes);
            for (int i = 0; i < depth; ++i) {
                void* reply = nullptr;
                if (::redisGetReply(context_.get(), &reply) != REDIS_OK)
                    throw std::runtime_error(context_->errstr);
                ::freeReplyObject(reply);
            }
        }
    }

private:
    hiredis_connection context_;
};

// The system calls of an event loop, and only they.
class bare_event_loop {
public:
    explicit bare_event_loop(std::string const& path)
        : context_(connect(path))
        , poll_(::epoll_create1(EPOLL_CLOEXEC)) {
        epoll_event readable{};
        readable.events = EPOLLIN;
        if (::epoll_ctl(poll_, EPOLL_CTL_ADD, context_->fd, &readable) != 0)
            throw std::runtime_error("epoll does not take a socket");
    }
    ~bare_event_loop() { ::close(poll_); }
    bare_event_loop(bare_event_loop const&) = delete;
    bare_event_loop& operator=(bare_event_loop const&) = delete;

    void run(int operations, int depth) {
        redis::command what;
        what.evalsha(increment(), 1, 0).arg("counter");
        std::string batch;
        for (int i = 0; i < depth; ++i)
            batch += what.payload();
        for (int done = 0; done < operations; done += depth) {
            if (::send(context_->fd, batch.data(), batch.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(batch.size()))
                throw std::runtime_error("the socket does not take a batch");
            for (std::ptrdiff_t left = depth; left > 0;)
                left -= receive();
        }
    }

private:
    // How many replies came: each is a line.
    std::ptrdiff_t receive() {
        epoll_event event{};
        ::epoll_wait(poll_, &event, 1, -1);
        auto const size = ::recv(context_->fd, replies_.data(), replies_.size(), MSG_DONTWAIT);
        if (size <= 0)
            throw std::runtime_error("the server went away");
        return std::count(replies_.begin(), replies_.begin() + size, '\n');
    }

    hiredis_connection context_;
    int const poll_;
    std::array<char, 65536> replies_{};
};

class weir_loop {
public:
    explicit weir_loop(std::string const& url)
        : redis_(io_, options(url)) {}

    // `depth` coroutines, each executing one operation after another.
    void with_coroutines(int operations, int depth) {
        int left = operations, running = depth;
        auto const lane = [&]() -> asio::awaitable<void> {
            redis::command what;
            redis::int_sink<1> sink(1);
            while (left-- > 0) {
                what.clear().evalsha(increment(), 1, 0).arg("counter");
                co_await redis_.async_exec(what, sink, {}, asio::use_awaitable);
            }
        };
        for (int i = 0; i < depth; ++i)
            asio::co_spawn(io_, lane, [&](std::exception_ptr thrown) {
                if (thrown)
                    std::rethrow_exception(thrown);
                if (--running == 0)
                    io_.stop();
            });
        io_.restart();
        io_.run();
    }

    void with_callbacks(int operations, int depth) {
        int left = operations, running = depth;
        struct lane {
            weir_loop& self;
            int& left;
            int& running;
            redis::command what;
            redis::int_sink<1> sink{1};
            void next() {
                if (left-- <= 0) {
                    if (--running == 0)
                        self.io_.stop();
                    return;
                }
                what.clear().evalsha(increment(), 1, 0).arg("counter");
                self.redis_.async_exec(what, sink, {}, [this](error_code ec) {
                    if (ec)
                        throw boost::system::system_error(ec);
                    next();
                });
            }
        };
        std::vector<std::unique_ptr<lane>> lanes;
        for (int i = 0; i < depth; ++i)
            lanes.push_back(std::make_unique<lane>(*this, left, running));
        for (auto& each : lanes)
            each->next();
        io_.restart();
        io_.run();
    }

private:
    static redis::client_options options(std::string const& url) {
        redis::client_options result;
        error_code ec;
        result.server = redis::parse_url(url, ec);
        result.timeout = std::chrono::seconds{5};
        result.scripts = {&increment()};
        return result;
    }

    asio::io_context io_;
    client redis_;
};

// Where the scheduler puts the two of them decides more than either client does, and differs from round to round.
void keep_apart(pid_t server) {
    cpu_set_t allowed, one;
    ::sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0, used = 0; cpu < CPU_SETSIZE && CPU_COUNT(&allowed) > 1 && used < 2; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ::sched_setaffinity(used++ == 0 ? server : 0, sizeof one, &one);
    }
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + rounds / 2, values.end());
    return values[rounds / 2];
}

void compare(hiredis_loop& raw, bare_event_loop& bare, weir_loop& ours, int depth) {
    auto const operations = depth == 1 ? 1'000 : 20'000;
    std::vector<double> raw_rate, raw_cpu;
    std::vector<double> rate[3], cpu[3];
    for (int round = 0; round < rounds; ++round) {
        auto const base = measure(operations, [&] { raw.run(operations, depth); });
        figures const others[] = {measure(operations, [&] { bare.run(operations, depth); }),
                                  measure(operations, [&] { ours.with_callbacks(operations, depth); }),
                                  measure(operations, [&] { ours.with_coroutines(operations, depth); })};
        raw_rate.push_back(base.per_second);
        raw_cpu.push_back(base.cpu_microseconds);
        for (int i = 0; i < 3; ++i) {
            rate[i].push_back(others[i].per_second / base.per_second);
            cpu[i].push_back(others[i].cpu_microseconds / base.cpu_microseconds);
        }
    }
    std::printf("%5d | %9.0f %6.2f us", depth, median(raw_rate), median(raw_cpu));
    for (int i = 0; i < 3; ++i)
        std::printf(" | %8.2f %8.2f", median(rate[i]), median(cpu[i]));
    std::printf("\n");
}

} // namespace

int main() {
    try {
        auto const server = redis::embedded_server::start();
        keep_apart(server.pid());
        error_code ec;
        hiredis_loop raw(redis::parse_url(server.url(), ec).path);
        bare_event_loop bare(redis::parse_url(server.url(), ec).path);
        weir_loop ours(server.url());
        std::printf("EVALSHA over a unix socket; medians of %d interleaved rounds; ratios to hiredis\n", rounds);
        std::printf("      |      raw hiredis    |  event loop alone |     callbacks     |    coroutines\n");
        std::printf("depth |     ops/s    CPU/op |    ops/s      CPU |    ops/s      CPU |    ops/s      CPU\n");
        for (int depth : {1, 16, 128})
            compare(raw, bare, ours, depth);
        return 0;
    } catch (std::exception const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
