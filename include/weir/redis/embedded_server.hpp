#pragma once

#include <weir/redis/server_process.hpp>

#include <memory>

namespace weir::redis {

/// A private `redis-server`, so that a first run needs no set-up: a child process on a unix socket in a directory that
/// only this user may enter, without TCP port and without files of data. What it holds ends with it.
///
/// The kernel kills it when the *thread* that started it ends, however that comes to pass (prctl(2),
/// PR_SET_PDEATHSIG): start it on the main thread. Thread safety: distinct objects: safe; shared objects: unsafe.
class embedded_server {
public:
    struct options {
        /// Looked up in PATH.
        std::string executable = "redis-server";
        /// Further arguments, `--maxmemory 100mb` as two of them.
        std::vector<std::string> arguments;
    };

    /// Starts it, and returns when it answers.
    ///
    /// Throws `std::runtime_error` or `std::system_error`, whose message is fit for the user: "redis-server is not
    /// installed: apt-get install redis-server".
    static embedded_server start() { return start(options{}); }
    WEIR_DECL static embedded_server start(options how);

    WEIR_DECL embedded_server(embedded_server&& other) noexcept;
    WEIR_DECL embedded_server& operator=(embedded_server&& other) noexcept;
    /// Ends the server and removes its directory.
    WEIR_DECL ~embedded_server();

    /// `unix:///tmp/weir-XXXXXX/redis.sock`
    std::string url() const { return "unix://" + directory_ + "/redis.sock"; }
    pid_t pid() const noexcept { return process_->pid(); }

private:
    embedded_server() = default;
    WEIR_DECL void end() noexcept;

    std::string directory_;
    std::unique_ptr<detail::server_process> process_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/embedded_server.ipp>
#endif
