#pragma once

#include "support/raw_redis.hpp"

#include <weir/redis/server_process.hpp>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// A directory that is gone when the object is.
class temporary_directory {
public:
    temporary_directory();
    temporary_directory(temporary_directory const&) = delete;
    temporary_directory& operator=(temporary_directory const&) = delete;
    ~temporary_directory();
    std::string const& path() const noexcept { return path_; }

private:
    std::string path_;
};

/// A port of 127.0.0.1 that nothing listened on a moment ago.
std::uint16_t free_port();

/// A port of 127.0.0.1 that refuses connections as long as the test runs: nobody else can listen there.
std::uint16_t dead_port();

/// A real redis-server of a test's own, on a unix socket and, where asked, a free TCP port of 127.0.0.1, ready when the
/// constructor returns and gone when the object is, or the test's process, or the thread that started it.
class redis_server {
public:
    struct options {
        bool tcp = false;
        /// Empty: none (`requirepass`).
        std::string password;
        /// Further arguments of redis-server.
        std::vector<std::string> arguments;
    };

    redis_server()
        : redis_server(options{}) {}
    explicit redis_server(options how);
    redis_server(redis_server const&) = delete;
    redis_server& operator=(redis_server const&) = delete;
    ~redis_server();

    /// Of the unix socket, without credentials.
    std::string url() const;
    std::string const& socket_path() const noexcept { return socket_path_; }
    /// `redis://127.0.0.1:PORT`; only where `tcp` was asked for.
    std::string tcp_url() const;
    std::uint16_t port() const noexcept { return port_; }
    pid_t pid() const noexcept { return process_->pid(); }

    /// SIGTERM, SIGKILL; returns when it is gone.
    void stop();
    void kill();
    /// SIGSTOP and SIGCONT: it lives, accepts connections (the kernel does), and says nothing.
    void pause();
    void resume();
    /// A new process, empty, at the same addresses; kills the old one where it still runs.
    void restart();

    /// Executes a command on a connection of its own, in other hands than the client under test: the reply as text, an
    /// array's elements on lines of their own, nil as "(nil)". Throws where there is no connection.
    std::string run(std::initializer_list<std::string_view> command);
    /// The same, for commands that are answered by an integer, or by text that is one.
    std::int64_t integer(std::initializer_list<std::string_view> command);
    /// How often it has executed a command, by scripts, too: since its start, or `CONFIG RESETSTAT`.
    std::int64_t calls(std::string_view command);
    /// Sends a command on a connection of its own and leaves the reply, which may take long, to nobody. The connection
    /// lasts as long as the object returned.
    std::shared_ptr<void> send(std::initializer_list<std::string_view> command);

private:
    void start();
    raw_redis connect();

    options options_;
    temporary_directory directory_;
    std::string socket_path_;
    std::uint16_t port_ = 0;
    std::unique_ptr<redis::detail::server_process> process_;
};

} // namespace weir::test
