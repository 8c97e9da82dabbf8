#pragma once

#include <weir/redis/server_process.hpp>

#include <weir/clock.hpp>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <hiredis/hiredis.h>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace weir::redis::detail {

inline constexpr std::chrono::milliseconds poll_interval{2};

class owned_fd {
public:
    explicit owned_fd(int fd) noexcept
        : fd_(fd) {}
    owned_fd(owned_fd const&) = delete;
    owned_fd& operator=(owned_fd const&) = delete;
    ~owned_fd() { reset(); }
    int get() const noexcept { return fd_; }
    void reset() noexcept {
        if (fd_ >= 0)
            ::close(fd_);
        fd_ = -1;
    }

private:
    int fd_;
};

[[noreturn]] inline void throw_errno(char const* doing) {
    throw std::system_error(errno, std::system_category(), doing);
}

// The child between fork and exec: async-signal-safe calls alone (signal-safety(7)), since other threads' locks may be
// held for ever in this copy of the process. Tells the parent through `report` why exec failed.
[[noreturn]] inline void become_server(char* const* argv, pid_t parent, int output, int report) noexcept {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) // it died before the line above
        ::_exit(1);
    ::setsid();
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    auto const null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    ::execvp(argv[0], argv);
    auto const why = errno;
    [[maybe_unused]] auto const told = ::write(report, &why, sizeof why);
    ::_exit(127);
}

inline std::string last_line_of(std::string const& path) {
    std::ifstream file(path);
    std::string line, last;
    while (std::getline(file, line))
        if (!line.empty())
            last = line;
    return last;
}

// Whether the server answers anything but "I am still loading". One that wants a password answers, too.
inline bool answers(address const& endpoint) {
    timeval const patience{1, 0};
    std::unique_ptr<redisContext, decltype(&::redisFree)> const context(
        endpoint.via == address::transport::unix_socket
            ? ::redisConnectUnixWithTimeout(endpoint.path.c_str(), patience)
            : ::redisConnectWithTimeout(endpoint.host.c_str(), endpoint.port, patience),
        &::redisFree);
    if (!context || context->err || ::redisSetTimeout(context.get(), patience) != REDIS_OK)
        return false;
    std::unique_ptr<redisReply, decltype(&::freeReplyObject)> const reply(
        static_cast<redisReply*>(::redisCommand(context.get(), "PING")), &::freeReplyObject);
    return reply && !(reply->type == REDIS_REPLY_ERROR &&
                      error_of_reply({reply->str, static_cast<std::size_t>(reply->len)}) == errc::loading);
}

WEIR_DECL server_process::server_process(settings const& how) {
    launch(how);
    try {
        wait_until_ready(how);
    } catch (...) {
        kill();
        throw;
    }
}

WEIR_DECL server_process::~server_process() { stop(); }

WEIR_DECL void server_process::launch(settings const& how) {
    std::vector<char*> argv{const_cast<char*>(how.executable.c_str())};
    for (auto const& each : how.arguments)
        argv.push_back(const_cast<char*>(each.c_str()));
    argv.push_back(nullptr);

    owned_fd const output(::open(how.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (output.get() < 0)
        throw std::system_error(errno, std::system_category(), "open " + how.log_path);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw_errno("pipe2");
    owned_fd const read_end(ends[0]);
    owned_fd write_end(ends[1]);
    auto const parent = ::getpid();
    auto const child = ::fork();
    if (child < 0)
        throw_errno("fork");
    if (child == 0)
        become_server(argv.data(), parent, output.get(), write_end.get());
    pid_ = child;
    write_end.reset();

    // The pipe closes by itself when exec succeeds.
    int why = 0;
    ssize_t got;
    do
        got = ::read(read_end.get(), &why, sizeof why);
    while (got < 0 && errno == EINTR);
    if (got != static_cast<ssize_t>(sizeof why))
        return;
    kill();
    if (why == ENOENT)
        throw std::runtime_error(how.executable + " is not installed: apt-get install redis-server");
    throw std::system_error(why, std::system_category(), "start " + how.executable);
}

WEIR_DECL void server_process::wait_until_ready(settings const& how) {
    for (auto const deadline = boot_clock::now() + how.patience; !answers(how.endpoint);) {
        if (gone_within(poll_interval))
            throw std::runtime_error(how.executable + " stopped at its start: " + last_line_of(how.log_path));
        if (boot_clock::now() >= deadline)
            throw std::runtime_error(how.executable + " does not answer at " + how.endpoint.display() + " within " +
                                     std::to_string(how.patience.count()) + " ms: " + last_line_of(how.log_path));
    }
    // Something else may have answered there in its place.
    if (gone_within(std::chrono::milliseconds{0}))
        throw std::runtime_error(how.executable + " stopped at its start: " + last_line_of(how.log_path));
}

WEIR_DECL void server_process::stop() noexcept {
    if (pid_ == 0)
        return;
    ::kill(pid_, SIGTERM);
    if (!gone_within(std::chrono::seconds{2}))
        kill();
}

WEIR_DECL void server_process::kill() noexcept {
    if (pid_ == 0)
        return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
}

WEIR_DECL bool server_process::gone_within(std::chrono::milliseconds patience) noexcept {
    auto const deadline = boot_clock::now() + patience;
    for (;;) {
        if (pid_ == 0 || ::waitpid(pid_, nullptr, WNOHANG) != 0) {
            pid_ = 0;
            return true;
        }
        if (boot_clock::now() >= deadline)
            return false;
        ::poll(nullptr, 0, static_cast<int>(poll_interval.count()));
    }
}

} // namespace weir::redis::detail
