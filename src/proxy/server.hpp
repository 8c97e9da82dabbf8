#pragma once

#include "proxy/worker.hpp"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace weir::proxy {

/// The proxy cannot start; what() is one line that says why and what to do.
class start_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

struct server_options {
    /// Told what an operator wants to know; called from any thread. None: silence.
    log_function log;
};

/// The reverse proxy: one worker thread a core, each with its own share of everything.
///
/// Thread safety: begin_drain(), stop() and draining() from any thread; the rest from one thread at a time.
class server {
public:
    /// Throws std::invalid_argument when a route or upstream of the configuration cannot be used.
    explicit server(std::shared_ptr<config::config const> config, server_options options = {});
    server(server const&) = delete;
    server& operator=(server const&) = delete;
    /// As stop() and wait().
    ~server();

    /// Resolves the upstreams, listens, and starts the workers. Throws start_error when an address cannot be listened
    /// on. Call once.
    void start();

    /// Where it listens, with the real ports, in the order of `config::listen`. After start().
    std::vector<tcp::endpoint> const& endpoints() const noexcept { return endpoints_; }

    /// Ends accepting; answers what runs, without keep-alive; breaks off what is not finished after `deadline`. Returns
    /// at once: wait() returns when all is done.
    void begin_drain(std::chrono::milliseconds deadline);
    bool draining() const noexcept { return draining_.load(std::memory_order_relaxed); }

    /// Breaks everything off. Returns at once.
    void stop();

    /// Returns when all workers have ended.
    void wait();

private:
    void listen(config::endpoint const& at);
    std::vector<std::vector<address_list>> resolve_upstreams() const;

    std::shared_ptr<config::config const> config_;
    server_options options_;
    router routes_;
    std::vector<std::unique_ptr<worker>> workers_;
    std::vector<std::thread> threads_;
    std::vector<tcp::endpoint> endpoints_;
    std::atomic<bool> draining_{false};
};

} // namespace weir::proxy
