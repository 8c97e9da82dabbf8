#pragma once

#include "config/load.hpp"
#include "proxy/worker.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace weir::proxy {

/// The proxy cannot start; what() is one line that says why and what to do.
class start_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Somebody else listens where the proxy was told to; what() names the address, and what to do is for the caller to
/// say, who knows where the address was written.
class address_in_use : public start_error {
public:
    address_in_use(std::string const& address, std::optional<std::size_t> index)
        : start_error(address + " is in use")
        , index_(index) {}

    /// Index into `config::listen`; none: it is that of the decision service.
    std::optional<std::size_t> index() const noexcept { return index_; }

private:
    std::optional<std::size_t> index_;
};

struct server_options {
    /// Told what an operator wants to know; called from any thread. None: silence.
    log_function log;
    /// The server that limits are kept in; `timeout`, `scripts` and `observer` are set by the proxy.
    redis::client_options redis;
    /// Counters made by `make_registry` from the same configuration; none: the proxy makes them.
    std::shared_ptr<metrics::registry> metrics;
};

/// The number of workers that a configuration asks for.
unsigned worker_count(config::config const& config) noexcept;

/// Counters for the routes, limits and upstreams of a configuration, one block a worker.
std::shared_ptr<metrics::registry> make_registry(config::config const& config);

/// The reverse proxy: one worker thread a core, each with its own share of everything.
///
/// Thread safety: begin_drain(), stop(), draining(), reload() and what only tells from any thread; the rest from one
/// thread at a time.
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
    /// Where the decision service listens; none where there is none. After start().
    std::optional<tcp::endpoint> const& decision_endpoint() const noexcept { return decision_endpoint_; }

    /// Serves requests that begin from now on by another configuration; those that run end by the one they began with.
    /// Returns what of it cannot be changed in a running server, or used: then nothing is. Looks up the names of
    /// targets, which may take a while. Throws as the constructor. After start(); from any thread.
    std::vector<config::issue> reload(std::shared_ptr<config::config const> to);

    /// The configuration in effect. Any thread.
    std::shared_ptr<config::config const> config() const { return present()->config; }

    /// Ends accepting; answers what runs, without keep-alive; breaks off what is not finished after `deadline`. Returns
    /// at once: wait() returns when all is done.
    void begin_drain(std::chrono::milliseconds deadline);
    std::shared_ptr<metrics::registry> const& counters() const noexcept { return shared_.metrics; }

    /// Tells an operator, as server_options::log. Any thread.
    void log(log_level level, std::string_view text) const { options_.log(level, text); }

    /// Where the limits are kept, as the options said, and what decides while that is away.
    redis::client_options const& redis() const noexcept { return options_.redis; }
    std::shared_ptr<local_engine> const& local() const noexcept { return shared_.local; }

    std::size_t workers() const noexcept { return workers_.size(); }
    /// Has a worker tell what it knows, on its thread, some time later; never, if it has ended. After start().
    void ask(std::size_t worker, std::function<void(insight const&)> question) const {
        workers_[worker]->ask(std::move(question));
    }

    bool draining() const noexcept { return draining_.load(std::memory_order_relaxed); }

    /// What is to be said of an upstream before traffic is sent here.
    struct upstream_state {
        std::string name;
        /// Not all its targets are known to be ill.
        bool ready = true;
    };
    /// Of those whose targets are asked for their health.
    std::vector<upstream_state> upstream_states() const;

    /// Breaks everything off. Returns at once.
    void stop();

    /// Returns when all workers have ended.
    void wait();

private:
    tcp::endpoint listen(config::endpoint const& at, door what, std::optional<std::size_t> index);
    void resolve_upstreams(edition& of) const;
    static std::vector<config::issue> read_certificates(edition& of);

    std::shared_ptr<edition const> present() const;

    server_options options_;
    shared_parts shared_;
    mutable std::mutex mutex_;
    std::mutex reloading_;
    std::shared_ptr<edition const> edition_;
    std::vector<std::unique_ptr<worker>> workers_;
    std::vector<std::thread> threads_;
    std::vector<tcp::endpoint> endpoints_;
    std::optional<tcp::endpoint> decision_endpoint_;
    std::atomic<bool> draining_{false};
};

} // namespace weir::proxy
