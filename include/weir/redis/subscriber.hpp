#pragma once

#include <weir/redis/client_options.hpp>
#include <weir/redis/subscription_table.hpp>

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weir::redis {
namespace detail {
class subscriber_connection;
} // namespace detail

/// Keeps a listener at its channel or pattern; ends that when it goes. May outlive its subscriber.
/// Thread safety: as its subscriber.
class subscription {
public:
    subscription() = default;
    subscription(subscription&&) noexcept = default;
    subscription& operator=(subscription&& other) noexcept {
        if (this != &other) {
            reset();
            owner_ = std::move(other.owner_);
            what_ = std::move(other.what_);
        }
        return *this;
    }
    /// As `reset`.
    ~subscription() { reset(); }

    /// The listener is called no more, from this very moment on; the server is told where nobody else listens.
    WEIR_DECL void reset() noexcept;

private:
    friend class subscriber;
    std::weak_ptr<detail::subscriber_connection> owner_;
    std::shared_ptr<detail::subscription_table::registration> what_;
};

/// What a subscriber has done. Plain counters, to be read on its thread.
struct subscriber_statistics {
    /// Handshakes completed, the first included.
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    /// Received for somebody who listens.
    std::uint64_t messages = 0;
    /// Channels and patterns known, those being left included.
    std::size_t names = 0;
};

/// Listens to channels and patterns (Redis Pub/Sub, RESP2) on a connection of its own, which is made again whenever it
/// is lost, subscribed to the same again.
///
/// Pub/sub itself promises nothing: what is published while the connection is away is lost, and a server whose output
/// buffer for pub/sub is full drops the connection. Therefore each listener is told by `listener::on_gap` from when on
/// it misses nothing.
///
/// Of the options: `server`, `client_name`, `reconnect_min`, `reconnect_max`, `connect_timeout`, `health_interval`,
/// `observer` as for a client; `max_reply_bytes` bounds one message, and a longer one drops the connection. The
/// connection is PINGed once each health interval, and dropped where nothing comes for two.
///
/// Everything must be called on the thread that runs the `io_context`, or before it runs; that `io_context` must be run
/// by one thread and outlive the subscriber. Everything may be called from within a listener, the subscriber's
/// destruction included. The subscriber keeps `io_context::run` from returning until it is closed.
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class subscriber {
public:
    /// The longest name of a channel or pattern, in bytes.
    static constexpr std::size_t max_name = 4096;

    /// Connects to `options.server`, of a cluster to each of the nodes that it names in turn, since any of them hears
    /// what is published on any other. Or, where `next` is given, to where that says: it is asked before each attempt,
    /// which fails where it does not know, and once each health interval, where the connection moves if it names
    /// another server than before. `client::address_source` is one.
    ///
    /// Throws `std::invalid_argument` where the address is that of sentinels and `next` is not given: which server is
    /// the master, `next` has to know.
    WEIR_DECL subscriber(asio::io_context& context, client_options options, address_source next = {});
    subscriber(subscriber const&) = delete;
    subscriber& operator=(subscriber const&) = delete;
    /// As `close`.
    WEIR_DECL ~subscriber();

    /// Calls `to` for what is published on `channel`, of any bytes, from the first `on_gap` on, until the result goes.
    /// A channel may have any number of listeners. Throws `std::invalid_argument` where the name is empty or longer
    /// than `max_name`. Precondition: `to` outlives the result, or the subscriber's `close`.
    [[nodiscard]] WEIR_DECL subscription subscribe(std::string_view channel, listener& to);
    /// The same for all channels whose names match the glob-style `pattern` ("PSUBSCRIBE").
    [[nodiscard]] WEIR_DECL subscription psubscribe(std::string_view pattern, listener& to);

    /// Whether the handshake is complete and the connection not known to be lost.
    WEIR_DECL bool connected() const noexcept;
    /// Why there is no connection, or why the last one was lost; no error while connected.
    WEIR_DECL error_code last_error() const;
    /// The same in words, without user or password.
    WEIR_DECL std::string const& last_error_text() const noexcept;
    WEIR_DECL subscriber_statistics stats() const;

    /// Ends the connection for good; no listener is called any more.
    WEIR_DECL void close();

private:
    WEIR_DECL subscription add(detail::subscription_table::by how, std::string_view name, listener& to);

    std::shared_ptr<detail::subscriber_connection> connection_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/subscriber.ipp>
#endif
