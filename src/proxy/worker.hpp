#pragma once

#include "proxy/access_log.hpp"
#include "proxy/connection.hpp"
#include "proxy/connection_limit.hpp"
#include "proxy/locks.hpp"
#include "proxy/log.hpp"
#include "proxy/redis_metrics.hpp"
#include "proxy/services.hpp"

#include <boost/asio/basic_waitable_timer.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace weir::proxy {

/// What all workers share, made by the server.
struct shared_parts {
    redis::client_options redis;
    std::shared_ptr<local_engine> local;
    std::shared_ptr<access_log_file> access_log;
    /// One block a worker.
    std::shared_ptr<metrics::registry> metrics;
    /// Set before the workers are made.
    std::shared_ptr<connection_limit> connections;
    std::shared_ptr<service::used_permits> used_permits;
};

/// The scripts that a worker runs in Redis; their order is that of `metrics::names::scripts`.
std::vector<redis::script const*> worker_scripts();

/// What is served to whoever connects to an address.
enum class door { proxy, decision };

/// One thread's share of the proxy: its own loop, acceptors, connections, upstream pools and clock.
class worker {
public:
    /// `index` is that of its block of counters. The log must outlive the worker.
    worker(std::shared_ptr<edition const> e, shared_parts const& shared, std::size_t index, log_function const& log);
    worker(worker const&) = delete;
    worker& operator=(worker const&) = delete;
    ~worker();

    /// Takes a listening socket; `index` is that in `config::listen`, of a door::proxy. Before run().
    void listen(tcp::acceptor::protocol_type protocol, int listening_socket, door what, std::size_t index);

    /// Serves on the calling thread until stopped or drained.
    void run();

    /// Serves requests that begin from now on by another configuration. Any thread.
    void change(std::shared_ptr<edition const> to);

    /// Ends accepting, lets what runs finish for up to `deadline`, then breaks it off and ends run(). Any thread.
    void begin_drain(std::chrono::milliseconds deadline);

    /// Breaks everything off and ends run(). Any thread.
    void stop();

    /// Has the worker's thread tell what it knows; never, if it has ended. Any thread.
    void ask(std::function<void(insight const&)> question);

private:
    using timer =
        asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, executor>;

    struct entrance {
        tcp_acceptor acceptor;
        door what;
        std::size_t index;
    };

    awaitable<void> accept_loop(entrance& from);
    awaitable<void> tick_loop();
    /// One a turn of the loop, lest a burst of new connections hold up what is under way; why there is none.
    error_code accept_one(entrance& from);
    void open(int descriptor, tcp::endpoint const& peer, entrance const& by);
    void close_acceptors();
    void abort_connections();
    void update_date();
    void start_redis(config::config const& config, redis::client_options options);
    void start_limiter(config::config const& config);
    void adopt(std::shared_ptr<edition const> e);
    /// What circuits and locks are told through; begun when first wanted.
    redis::subscriber& news();
    services_ptr make_services(std::shared_ptr<edition const> e);

    // The loop comes last but for what is bound to it, so that it is destroyed after that and before what its handlers
    // still hold references to.
    log_function const& log_;
    std::size_t const index_;
    worker_parts parts_;
    std::shared_ptr<local_engine> local_;
    std::shared_ptr<connection_limit> limit_;
    std::shared_ptr<service::used_permits> used_permits_;
    boost::intrusive::list<connection, boost::intrusive::constant_time_size<false>> connections_;
    asio::io_context io_;
    std::deque<entrance> entrances_;
    redis_metrics redis_metrics_;
    std::optional<redis::client> redis_;
    std::optional<redis::subscriber> news_;
    std::optional<limiter> limiter_;
    std::optional<circuits> circuits_;
    std::optional<locks> locks_;
    timer tick_;
    boot_clock::time_point drain_until_ = boot_clock::time_point::max();
    std::time_t date_of_ = 0;
    bool stopping_ = false;
};

} // namespace weir::proxy
