#include "support/forked_process.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace weir::test {

process_link::~process_link() {
    if (socket_ >= 0)
        ::close(socket_);
}

void process_link::write(void const* bytes, std::size_t size) {
    for (auto const* at = static_cast<char const*>(bytes); size > 0;) {
        auto const n = ::send(socket_, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            throw std::runtime_error("the other process does not read");
        at += n;
        size -= static_cast<std::size_t>(n);
    }
}

void process_link::read(void* bytes, std::size_t size) {
    for (auto* at = static_cast<char*>(bytes); size > 0;) {
        auto const n = ::recv(socket_, at, size, 0);
        if (n <= 0)
            throw std::runtime_error("the other process ended");
        at += n;
        size -= static_cast<std::size_t>(n);
    }
}

namespace {

int run_body(std::function<void(process_link&)> const& body, process_link& link) {
    try {
        body(link);
    } catch (std::exception const& e) {
        std::fprintf(stderr, "a forked process: %s\n", e.what());
        return 1;
    }
    return ::testing::Test::HasFailure() ? 1 : 0;
}

} // namespace

forked_process::started forked_process::start(std::function<void(process_link&)> const& body) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::runtime_error("no pair of sockets");
    process_link mine(ends[0]), theirs(ends[1]);
    auto const pid = ::fork();
    if (pid < 0)
        throw std::runtime_error("no process");
    if (pid == 0) {
        { process_link const of_the_parent(std::move(mine)); } // else its death would not be seen
        ::_exit(run_body(body, theirs));
    }
    return {std::move(mine), pid};
}

forked_process::forked_process(std::function<void(process_link&)> const& body)
    : forked_process(start(body)) {}

forked_process::~forked_process() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
}

bool forked_process::wait() {
    int status = -1;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status == 0;
}

} // namespace weir::test
