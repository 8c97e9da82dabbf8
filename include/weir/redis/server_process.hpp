#pragma once

#include <weir/redis/url.hpp>

#include <chrono>
#include <string>
#include <sys/types.h>
#include <vector>

namespace weir::redis::detail {

/// A `redis-server` child process, ready for commands when the constructor returns, and killed by the kernel when the
/// *thread* that constructed it ends (prctl(2), PR_SET_PDEATHSIG): construct it on a thread that lives as long as it.
///
/// It stands in a session of its own, so that a Ctrl-C in the terminal reaches the parent alone, and inherits no file
/// descriptor. Thread safety: distinct objects: safe; shared objects: unsafe.
class server_process {
public:
    struct settings {
        std::string executable = "redis-server";
        std::vector<std::string> arguments;
        /// Where its output goes.
        std::string log_path;
        /// Where it will answer.
        address endpoint;
        std::chrono::milliseconds patience{10000};
    };

    /// Throws `std::runtime_error` where the program is not installed (naming the package), stops at the start (with
    /// its last words) or does not answer in time, and `std::system_error` where the system refuses.
    WEIR_DECL explicit server_process(settings const& how);
    server_process(server_process const&) = delete;
    server_process& operator=(server_process const&) = delete;
    /// As `stop`.
    WEIR_DECL ~server_process();

    /// 0 once it was stopped or killed.
    pid_t pid() const noexcept { return pid_; }
    /// Asks it to end (SIGTERM), kills it after two seconds, and returns when it is gone.
    WEIR_DECL void stop() noexcept;
    /// Kills it (SIGKILL) and returns when it is gone.
    WEIR_DECL void kill() noexcept;

private:
    WEIR_DECL void launch(settings const& how);
    WEIR_DECL void wait_until_ready(settings const& how);
    WEIR_DECL bool gone_within(std::chrono::milliseconds patience) noexcept;

    pid_t pid_ = 0;
};

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/server_process.ipp>
#endif
