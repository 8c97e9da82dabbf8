#include "support/redis_fixture.hpp"

#include <weir/redis/embedded_server.hpp>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace weir;
using namespace weir::test;
using redis::command;
using redis::embedded_server;

std::string directory_of(std::string const& url) {
    return std::filesystem::path(address_of(url).path).parent_path().string();
}

TEST(embedded_server, serves_on_a_private_socket_without_a_port) {
    auto const server = embedded_server::start();
    struct stat status {};
    ASSERT_EQ(::stat(directory_of(server.url()).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    asio::io_context io;
    redis::client redis(io, patient_options(server.url()));
    run(io, [&]() -> asio::awaitable<void> {
        redis::flat_reply port;
        command const ask_port("CONFIG", "GET", "port");
        co_await redis.async_exec(ask_port, port, {}, asio::use_awaitable);
        EXPECT_EQ(port.text(port.nodes().at(2)), "0");
        command const ask_save("CONFIG", "GET", "save");
        co_await redis.async_exec(ask_save, port, {}, asio::use_awaitable);
        EXPECT_EQ(port.text(port.nodes().at(2)), "");
    });
}

TEST(embedded_server, leaves_nothing_behind) {
    std::string directory;
    pid_t pid = 0;
    {
        auto first = embedded_server::start();
        auto const moved = std::move(first);
        directory = directory_of(moved.url());
        pid = moved.pid();
        EXPECT_TRUE(std::filesystem::exists(directory));
    }
    EXPECT_FALSE(std::filesystem::exists(directory));
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
}

std::string why_not(embedded_server::options how) {
    try {
        embedded_server::start(std::move(how));
        return "it started";
    } catch (std::exception const& e) {
        return e.what();
    }
}

TEST(embedded_server, names_the_package_that_is_missing) {
    EXPECT_EQ(why_not({.executable = "no-such-redis-server", .arguments = {}}),
              "no-such-redis-server is not installed: apt-get install redis-server");
}

TEST(embedded_server, tells_why_the_server_stopped) {
    auto const why = why_not({.executable = "redis-server", .arguments = {"--no-such-option", "1"}});
    EXPECT_NE(why.find("stopped at its start"), std::string::npos) << why;
    EXPECT_NE(why.find("Bad directive"), std::string::npos) << why;
}

TEST(embedded_server, dies_with_its_parent_however_that_dies) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    auto const parent = ::fork();
    ASSERT_GE(parent, 0);
    if (parent == 0) {
        // This process has one thread: what follows is safe, and ends with the kill below.
        auto const server = embedded_server::start();
        struct {
            pid_t pid;
            char directory[100];
        } report{server.pid(), {}};
        directory_of(server.url()).copy(report.directory, sizeof report.directory - 1);
        if (::write(ends[1], &report, sizeof report) != static_cast<ssize_t>(sizeof report))
            ::_exit(1);
        for (;;)
            ::pause();
    }
    struct {
        pid_t pid;
        char directory[100];
    } report{};
    ASSERT_EQ(::read(ends[0], &report, sizeof report), static_cast<ssize_t>(sizeof report));
    auto const server = static_cast<int>(::syscall(SYS_pidfd_open, report.pid, 0));
    ASSERT_GE(server, 0) << "the server runs";
    ::kill(parent, SIGKILL);
    ::waitpid(parent, nullptr, 0);
    pollfd ended{server, POLLIN, 0}; // a pidfd becomes readable when its process ends, pidfd_open(2)
    EXPECT_EQ(::poll(&ended, 1, 10000), 1) << "redis-server outlived its parent";
    for (auto const fd : {server, ends[0], ends[1]})
        ::close(fd);
    std::filesystem::remove_all(report.directory);
}

} // namespace
