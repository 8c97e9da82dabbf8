#include "support/lock_worker.hpp"

#include "support/lock_history.hpp"

#include <weir/lock/manager.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/subscriber.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
constexpr auto result = asio::as_tuple(asio::use_awaitable);

/// A register that keeps the highest fence that it saw, of readers, too, and refuses what comes with a lower one.
/// KEYS: the fence, the value; ARGV: a fence, and the new value where it is written. A write: how many it accepted, or
/// 0; a read: the value, or -1.
redis::script const& fenced_register() {
    static redis::script const code("register", R"(
local highest = tonumber(redis.call('GET', KEYS[1]) or 0)
if tonumber(ARGV[1]) < highest then return ARGV[2] and 0 or -1 end
redis.call('SET', KEYS[1], ARGV[1])
if not ARGV[2] then return tonumber(redis.call('GET', KEYS[2]) or 0) end
redis.call('SET', KEYS[2], ARGV[2])
return redis.call('INCR', 'accepted'))");
    return code;
}

redis::client_options options_for(std::string const& url, std::vector<redis::script const*> scripts) {
    redis::client_options options;
    error_code ec;
    options.server = redis::parse_url(url, ec);
    options.timeout = 2s;
    options.reconnect_max = 20ms;
    options.scripts = std::move(scripts);
    return options;
}

std::int64_t now() { return boot_clock::now().time_since_epoch().count(); }

class child {
public:
    child(lock_worker::options how, int channel)
        : how_(std::move(how))
        , client_(io_, options_for(how_.redis_url, {how_.code->acquire, how_.code->release, how_.code->extend}))
        , news_(io_, options_for(how_.news_url.empty() ? how_.redis_url : how_.news_url, {}))
        , register_(io_, options_for(how_.register_url, {&fenced_register()}))
        , locks_(client_, news_, manager_options())
        , channel_(io_, asio::local::stream_protocol(), channel)
        , history_(::open(how_.history_path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) {}

    void run() {
        asio::co_spawn(io_, serve(), [](std::exception_ptr) { ::_exit(0); }); // the channel is closed: the end
        io_.run();
    }

private:
    lock::manager_options manager_options() const {
        lock::manager_options options;
        options.code = how_.code;
        options.fault = how_.fault;
        return options;
    }

    void note(lock_event::kind what, bool ok, std::int64_t call, std::int64_t end, std::int64_t order = 0) {
        lock_event event{::getpid(), what, ok, call, end, lease_.fence(), order};
        if (what == lock_event::kind::hold || what == lock_event::kind::release)
            event.fence = fence_;
        auto const line = to_line(event);
        if (::write(history_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
            ::_exit(3);
    }

    asio::awaitable<void> serve() {
        std::string buffer;
        for (;;) {
            auto const size =
                co_await asio::async_read_until(channel_, asio::dynamic_buffer(buffer), '\n', asio::use_awaitable);
            std::istringstream words(buffer.substr(0, size - 1));
            buffer.erase(0, size);
            auto said = co_await obey(words);
            said += '\n';
            co_await asio::async_write(channel_, asio::buffer(said), asio::use_awaitable);
        }
    }

    asio::awaitable<std::string> obey(std::istringstream& words) {
        std::string verb;
        words >> verb;
        std::int64_t ttl = 0, wait = 0;
        int renew = 0;
        if (verb == "take") {
            words >> ttl >> wait >> renew;
            co_return co_await take(std::chrono::milliseconds{ttl}, std::chrono::milliseconds{wait}, renew == 1);
        }
        if (verb == "load") {
            words >> wait;
            co_return co_await load(std::chrono::milliseconds{wait});
        }
        if (verb == "extend")
            co_return co_await extend();
        if (verb == "release")
            co_return co_await release();
        if (verb == "read")
            co_return co_await read();
        if (verb == "write")
            co_return co_await write();
        if (verb == "freeze") {
            ::raise(SIGSTOP);
            co_return lease_.valid() ? "valid" : "invalid";
        }
        co_return "what?";
    }

    asio::awaitable<std::string> take(std::chrono::milliseconds ttl, std::chrono::milliseconds wait, bool renew) {
        lock::lock_options options;
        options.ttl = ttl;
        options.wait = wait;
        options.heartbeat = 400ms;
        options.renew = renew;
        auto const call = now();
        auto [ec, got] = co_await locks_.async_lock("job", options, result);
        granted_ = now();
        lease_ = std::move(got);
        fence_ = lease_.fence();
        note(lock_event::kind::acquire, !ec, call, granted_);
        co_return ec ? "refused " + ec.message() : "granted " + std::to_string(fence_);
    }

    asio::awaitable<std::string> extend() {
        auto const call = now();
        auto const [ec] = co_await lease_.async_extend(result);
        note(lock_event::kind::extend, !ec, call, now());
        co_return ec ? ec.message() : "ok";
    }

    asio::awaitable<std::string> release() {
        auto const call = now();
        note(lock_event::kind::hold, true, granted_, std::min(call, lease_.ends().time_since_epoch().count()));
        auto const [ec] = co_await lease_.async_release(result);
        note(lock_event::kind::release, !ec, call, now());
        co_return ec ? ec.message() : "ok";
    }

    asio::awaitable<std::string> read() {
        redis::string_sink plain;
        redis::int_sink<1> fenced(1);
        redis::command look;
        look.evalsha(fenced_register(), 2, 1).arg("fence").arg("fenced").arg(lease_.fence());
        co_await register_.async_exec(look, fenced, {}, asio::use_awaitable);
        co_await register_.async_exec(redis::command("GET", "plain"), plain, {}, asio::use_awaitable);
        fenced_value_ = fenced[0];
        plain_value_ = std::strtoll(plain.value().c_str(), nullptr, 10);
        has_read_ = true;
        co_return "read";
    }

    asio::awaitable<std::string> write() {
        if (!std::exchange(has_read_, false)) {
            co_await read();
            has_read_ = false;
        }
        auto const call = now();
        redis::command write;
        redis::int_sink<1> accepted(1);
        write.evalsha(fenced_register(), 2, 2).arg("fence").arg("fenced").arg(lease_.fence()).arg(fenced_value_ + 1);
        co_await register_.async_exec(write, accepted, {}, asio::use_awaitable);
        redis::ignore_sink ignored;
        co_await register_.async_exec(redis::command("SET", "plain", plain_value_ + 1), ignored, {},
                                      asio::use_awaitable);
        co_await register_.async_exec(redis::command("INCR", "written"), ignored, {}, asio::use_awaitable);
        note(lock_event::kind::fenced_write, accepted[0] > 0, call, now(), accepted[0]);
        co_return accepted[0] > 0 ? "accepted" : "rejected";
    }

    asio::awaitable<std::string> load(std::chrono::milliseconds how_long) {
        auto const end = boot_clock::now() + how_long;
        while (boot_clock::now() < end) {
            co_await take(250ms, 3s, true);
            if (!lease_)
                continue;
            co_await read();
            if (lease_.valid())
                co_await write();
            co_await release();
        }
        co_return "done";
    }

    lock_worker::options how_;
    asio::io_context io_{1};
    redis::client client_;
    redis::subscriber news_;
    redis::client register_;
    lock::manager locks_;
    asio::local::stream_protocol::socket channel_;
    int history_;
    lock::lease lease_;
    std::uint64_t fence_ = 0;
    std::int64_t granted_ = 0, fenced_value_ = 0, plain_value_ = 0;
    bool has_read_ = false;
};

} // namespace

lock_worker::lock_worker(options how) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::runtime_error("socketpair");
    auto const parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::close(ends[0]);
        if (::getppid() != parent)
            ::_exit(1);
        try {
            child(std::move(how), ends[1]).run();
        } catch (...) {
        }
        ::_exit(2);
    }
    ::close(ends[1]);
    channel_ = ends[0];
}

lock_worker::~lock_worker() {
    kill();
    ::close(channel_);
}

void lock_worker::kill() {
    if (pid_ < 0)
        return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

void lock_worker::signal(int number) {
    if (pid_ > 0)
        ::kill(pid_, number);
}

void lock_worker::say(std::string const& line) {
    auto const text = line + '\n';
    if (::send(channel_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
        throw std::runtime_error("the worker is gone");
}

std::string lock_worker::answer() {
    for (;;) {
        if (auto const end = read_.find('\n'); end != std::string::npos) {
            auto line = read_.substr(0, end);
            read_.erase(0, end + 1);
            return line;
        }
        pollfd waiting{channel_, POLLIN, 0};
        char bytes[512];
        ssize_t size = 0;
        if (::poll(&waiting, 1, 60'000) != 1 || (size = ::read(channel_, bytes, sizeof bytes)) <= 0)
            throw std::runtime_error("the worker does not answer");
        read_.append(bytes, static_cast<std::size_t>(size));
    }
}

std::string lock_worker::ask(std::string const& line) {
    say(line);
    return answer();
}

void lock_worker::wait_until_stopped() {
    int status = 0;
    if (::waitpid(pid_, &status, WUNTRACED) != pid_ || !WIFSTOPPED(status))
        throw std::runtime_error("the worker ended instead of stopping");
}

} // namespace weir::test
