#include "proxy/access_log.hpp"

#include <weir/http/detail/text_writer.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <unistd.h>

namespace weir::proxy {

access_log_file::access_log_file(std::string const& path, log_function log)
    : log_(std::move(log)) {
    if (path == "-") {
        file_ = STDOUT_FILENO;
    } else {
        file_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        owned_ = true;
        if (file_ < 0)
            throw std::runtime_error("cannot write the access log to " + path + ": " + std::strerror(errno));
    }
    thread_ = std::thread([this] { run(); });
}

access_log_file::~access_log_file() {
    {
        std::lock_guard const lock{mutex_};
        ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
    if (owned_)
        ::close(file_);
}

void access_log_file::write(std::string& lines) {
    {
        std::lock_guard const lock{mutex_};
        if (pending_.empty())
            pending_.swap(lines);
        else if (pending_.size() + lines.size() > max_pending)
            ++dropped_;
        else
            pending_ += lines;
    }
    lines.clear();
    wake_.notify_one();
}

void access_log_file::run() {
    std::string writing;
    std::unique_lock lock{mutex_};
    for (;;) {
        wake_.wait(lock, [this] { return ending_ || !pending_.empty(); });
        if (pending_.empty())
            return;
        std::swap(writing, pending_);
        auto const dropped = std::exchange(dropped_, 0);
        lock.unlock();
        write_all(writing);
        if (dropped != 0)
            log_(log_level::error,
                 "the access log is too slow: " + std::to_string(dropped) + " blocks of lines are lost");
        writing.clear();
        lock.lock();
    }
}

void access_log_file::write_all(std::string_view text) {
    while (!text.empty()) {
        auto const n = ::write(file_, text.data(), text.size());
        if (n > 0) {
            text.remove_prefix(static_cast<std::size_t>(n));
            failed_ = false;
        } else if (n < 0 && errno == EAGAIN) { // somebody made our standard output non-blocking
            pollfd ready{file_, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            if (!std::exchange(failed_, true))
                log_(log_level::error, std::string("cannot write the access log: ") + std::strerror(errno));
            return;
        }
    }
}

std::chrono::milliseconds access_log::wall_time(boot_clock::time_point at) {
    using namespace std::chrono;
    if (at >= compare_at_) {
        auto const now = boot_clock::now();
        ahead_ = system_clock::now().time_since_epoch() - now.time_since_epoch();
        compare_at_ = now + 100ms;
    }
    return floor<milliseconds>(at.time_since_epoch() + ahead_);
}

void access_log::append_time(text_writer& line, boot_clock::time_point at) {
    auto const wall = wall_time(at);
    auto const second = std::chrono::floor<std::chrono::seconds>(wall);
    if (second != second_ || second_text_.empty()) {
        second_ = second;
        std::time_t const whole = second.count();
        std::tm parts{};
        ::gmtime_r(&whole, &parts);
        std::array<char, 32> text{};
        second_text_.assign(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts));
    }
    auto const ms = static_cast<unsigned>((wall - second).count());
    line.add(second_text_);
    line.add(static_cast<char>('0' + ms / 100));
    line.add(static_cast<char>('0' + ms / 10 % 10));
    line.add(static_cast<char>('0' + ms % 10));
    line.add('Z');
}

void access_log::append_line(exchange const& x, std::string_view client, std::string_view route) {
    text_writer line(lines_);
    auto const text = [&](std::string_view name, std::string_view value) { line.add(name).add_json(value); };
    // Names of the configuration, tokens, addresses and what we choose have nothing to escape.
    auto const plain = [&](std::string_view name, std::string_view value) { line.add(name).add_plain_json(value); };
    auto const number = [&](std::string_view name, std::uint64_t value) { line.add(name).add_number(value); };
    auto const seconds = [&](std::string_view name, std::chrono::nanoseconds value) {
        line.add(name).add_seconds(value);
    };
    line.add(R"({"time":")");
    append_time(line, x.ended);
    line.add('"');
    plain(R"(,"request_id":)", x.request_id);
    plain(R"(,"client":)", client);
    plain(R"(,"method":)", x.request.method);
    text(R"(,"path":)", x.target.path);
    plain(R"(,"route":)", route);
    number(R"(,"status":)", x.status);
    number(R"(,"bytes_in":)", x.bytes_in);
    number(R"(,"bytes_out":)", x.bytes_out);
    seconds(R"(,"duration":)", x.ended - x.started);
    seconds(R"(,"admission":)", x.admission_time);
    if (!x.upstream_target.empty()) {
        text(R"(,"upstream":)", x.upstream_target);
        seconds(R"(,"upstream_duration":)", x.upstream_time);
    }
    if (!x.decision.rules.empty()) {
        auto const& binding = x.decision.rules[x.decision.binding];
        plain(R"(,"decision":)", to_string(binding.outcome));
        plain(R"(,"rule":)", binding.rule->name);
    }
    if (x.once)
        plain(R"(,"idempotency":)", to_string(x.once->now()));
    if (x.flight)
        plain(R"(,"single_flight":)", to_string(x.flight->now()));
    if (x.lock) {
        text(R"(,"lock":)", x.lock->name());
        number(R"(,"fence":)", x.lock->fence());
        seconds(R"(,"lock_wait":)", x.lock->waited());
    }
    if (!x.detail.empty())
        text(R"(,"detail":)", x.detail);
    line.add("}\n");
}

void access_log::add(exchange const& x, std::string_view client, std::string_view route) {
    if (!file_)
        return;
    append_line(x, client, route);
    if (lines_.size() >= flush_at)
        flush();
}

} // namespace weir::proxy
