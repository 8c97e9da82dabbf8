#pragma once

#include "config/config.hpp"
#include "proxy/deadline_wheel.hpp"
#include "proxy/tcp_socket.hpp"
#include "proxy/tls.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/basic_resolver.hpp>

#include <memory>
#include <string_view>
#include <vector>

namespace weir::proxy {

class upstream_pool;

/// Why there is no connection to an upstream.
///
/// `own_side`: this machine has no port, descriptor or memory left for one.
enum class connect_failure { none, unresolved, refused, timed_out, cancelled, own_side, tls };

/// One connection to one target. Its deadline cancels what is under way on the socket and sets `expired`; while it is
/// idle in the pool, it closes the connection.
class upstream_connection final : public deadline_wheel::entry {
public:
    upstream_connection(poller& sockets, upstream_pool& pool, std::size_t target) noexcept
        : socket(sockets)
        , pool_(pool)
        , target_(target) {}

    tcp_socket socket;
    /// None: in the clear.
    std::unique_ptr<tls_session> tls;
    /// The deadline passed during the operation under way.
    bool expired = false;
    /// It carried a request before: the upstream may have closed it meanwhile.
    bool reused = false;

    /// Index into the targets of its upstream.
    std::size_t target() const noexcept { return target_; }

private:
    friend class upstream_pool;
    void on_deadline() override;

    upstream_pool& pool_;
    std::size_t target_;
    bool idle_ = false;
};

using upstream_handle = std::unique_ptr<upstream_connection>;

/// The addresses of one target. Names are resolved before the first request and again as they age.
using address_list = std::vector<tcp::endpoint>;

/// Looks `t` up, blocking: for the start alone. Empty with `ec` when the name cannot be resolved.
address_list resolve_now(config::target const& t, error_code& ec);

/// The keep-alive connections of one worker to one upstream: last in, first out per target, bounded, closed when they
/// have been idle for too long.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class upstream_pool {
public:
    static constexpr std::size_t max_idle_per_target = 256;
    static constexpr std::chrono::seconds idle_for{60};

    /// `settings` must outlive the pool; `addresses` has one list a target, empty for what is not resolved yet; of each
    /// target no more than `max_idle` connections are kept.
    upstream_pool(asio::io_context& io, poller& sockets, deadline_wheel& wheel, config::upstream const& settings,
                  std::vector<address_list> addresses, tls_context_ptr tls, std::size_t max_idle);
    upstream_pool(upstream_pool const&) = delete;
    upstream_pool& operator=(upstream_pool const&) = delete;
    ~upstream_pool();

    config::upstream const& settings() const noexcept { return settings_; }
    config::target const& target(std::size_t index) const noexcept { return settings_.targets[index]; }

    /// An idle connection to `target`, or null. The upstream has not closed it up to now, nor said anything on it: that
    /// would be taken for the answer to a request that was sent later, perhaps of somebody else.
    upstream_handle take_idle(std::size_t target);

    /// Opens a connection to `target` into `into`, which is set while connecting so that the caller can cancel by
    /// closing the socket. On failure `into` is null. Where this machine lacks what it takes, waits for it within the
    /// connect timeout; then `into` may be one that has become idle meanwhile.
    awaitable<connect_failure> connect(std::size_t target, upstream_handle& into);

    /// Why TLS failed last.
    std::string const& tls_failure() const noexcept { return tls_failure_; }

    /// Takes back a connection on which a response has ended cleanly.
    void put_back(upstream_handle connection);

    /// Closes what is idle.
    void clear() noexcept;

    std::size_t idle() const noexcept;

private:
    friend class upstream_connection;
    struct target_state {
        address_list addresses;
        bool is_name = false;
        bool resolving = false;
        boot_clock::time_point refresh_at{};
        std::vector<upstream_handle> idle;
    };

    using timer =
        asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, executor>;

    awaitable<connect_failure> try_addresses(std::size_t target, upstream_handle& into);
    awaitable<connect_failure> shake_hands(upstream_connection& with);
    void refresh(std::size_t target);
    void drop_idle(upstream_connection& connection) noexcept;

    asio::io_context& io_;
    poller& sockets_;
    deadline_wheel& wheel_;
    config::upstream const& settings_;
    asio::ip::basic_resolver<tcp, executor> resolver_;
    std::vector<target_state> targets_;
    tls_context_ptr tls_;
    std::size_t const max_idle_;
    std::string tls_failure_;
    std::shared_ptr<bool const> const alive_ = std::make_shared<bool const>(true);
};

} // namespace weir::proxy
