#include "cli/child_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace weir::cli {
namespace {

[[noreturn]] void become(std::vector<std::string> const& command, pid_t parent, int report) {
    // What this program ignores or blocks is its own affair.
    for (int const number : {SIGPIPE, SIGTTOU, SIGINT, SIGTERM, SIGHUP, SIGQUIT})
        std::signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int error = 0;
    if (::getppid() == parent) { // else it died before it was asked for
        std::vector<char*> arguments;
        arguments.reserve(command.size() + 1);
        for (auto const& each : command)
            arguments.push_back(const_cast<char*>(each.c_str()));
        arguments.push_back(nullptr);
        ::execvp(arguments[0], arguments.data());
        error = errno;
    }
    [[maybe_unused]] auto const written = ::write(report, &error, sizeof error);
    ::_exit(127);
}

} // namespace

child_process::child_process(std::vector<std::string> const& command,
                             std::map<std::string, std::string> const& environment) {
    std::array<int, 2> report{};
    if (::pipe2(report.data(), O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe");
    auto const parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::setpgid(0, 0);
        for (auto const& [name, value] : environment)
            ::setenv(name.c_str(), value.c_str(), 1);
        become(command, parent, report[1]);
    }
    auto error = pid_ < 0 ? errno : 0;
    ::close(report[1]);
    if (pid_ > 0) {
        ::setpgid(pid_, pid_); // whoever of the two comes first
        has_terminal_ = ::isatty(STDIN_FILENO) == 1 && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
        if (has_terminal_)
            give_terminal(pid_);
        while (::read(report[0], &error, sizeof error) < 0 && errno == EINTR) {
        }
    }
    ::close(report[0]);
    if (error == 0 && pid_ > 0)
        return;
    if (pid_ > 0) {
        ::waitpid(pid_, &status_, 0);
        over_ = true;
        if (has_terminal_)
            give_terminal(::getpgrp());
    }
    throw std::system_error(error, std::generic_category(), command.front());
}

child_process::~child_process() {
    if (!over_) {
        signal(SIGKILL);
        ::waitpid(pid_, &status_, 0);
    }
    if (has_terminal_)
        give_terminal(::getpgrp());
}

void child_process::give_terminal(pid_t group) noexcept {
    // Who is not in the foreground is stopped for changing it, unless he ignores that.
    auto* const before = std::signal(SIGTTOU, SIG_IGN);
    ::tcsetpgrp(STDIN_FILENO, group);
    std::signal(SIGTTOU, before);
}

void child_process::signal(int number) noexcept {
    if (!over_)
        ::kill(-pid_, number);
}

bool child_process::over() {
    if (!over_ && ::waitpid(pid_, &status_, WNOHANG) == pid_)
        over_ = true;
    return over_;
}

int child_process::exit_code() const noexcept {
    return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
}

int exit_code_of_errno(int error) noexcept { return error == ENOENT ? 127 : 126; }

} // namespace weir::cli
