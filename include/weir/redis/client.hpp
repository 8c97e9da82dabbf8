#pragma once

#include <weir/redis/backend.hpp>
#include <weir/redis/exec_operation.hpp>

namespace weir::redis {
namespace detail {

WEIR_DECL std::shared_ptr<backend> make_backend(asio::io_context& context, client_options options);

} // namespace detail

/// The asynchronous client of a Redis: one connection a server, shared by everything on its thread, pipelined by
/// itself, and made again whenever it is lost.
///
/// By the topology of `client_options::server` that is one server; a Redis Cluster, where each operation goes to the
/// node that owns its keys (see `command::key`), and is followed through MOVED, ASK and TRYAGAIN; or the master that
/// Sentinels name, through failovers.
///
/// It connects as soon as the `io_context` runs. While the first attempt is under way, and while a lost connection is
/// being replaced, operations queue until their deadline; after a failed attempt, or after two health intervals
/// without a reply, and until the next success they fail at once with `errc::not_connected` (or `no_auth`,
/// `wrong_password`, `no_permission`, `tls_failed`). Of a cluster that holds for each node.
///
/// Everything but `async_exec_from_any_thread` must be called on the thread that runs the `io_context`, or before it
/// runs; that `io_context` must be run by one thread and outlive the client. Operations may be started, cancelled and
/// the client closed or destroyed from within completion handlers. The client keeps `io_context::run` from returning
/// until it is closed.
/// Thread safety: distinct objects: safe; shared objects: unsafe, but for `async_exec_from_any_thread`.
class client {
public:
    client(asio::io_context& context, client_options options)
        : backend_(detail::make_backend(context, std::move(options))) {
        backend_->start();
    }
    client(client const&) = delete;
    client& operator=(client const&) = delete;
    /// As `close`.
    ~client() { backend_->close(); }

    /// Executes `what` and hands its reply to `sink`. Completes `void(error_code)`.
    ///
    /// Preconditions: `what` and `sink` stay alive and untouched until completion. All that is submitted in one turn
    /// of the event loop leaves in one write, in order. The handler runs on its associated executor, by default the
    /// `io_context`, and never within this function.
    ///
    /// Errors: of kind `not_sent`, try again or decide without Redis; `outcome_unknown`, try again only what is
    /// idempotent; `refused` as the server said (BUSY, LOADING and NOSCRIPT, on a cluster TRYAGAIN and CLUSTERDOWN, are
    /// tried again while an eighth of the time is left); `unexpected_reply` from the sink; `invalid_argument` for an
    /// incomplete command; on a cluster `cross_slot` for keys that do not lie together, `cluster_down` for a slot that
    /// nobody serves, `redirected` after five redirections (of a node that sends to ever new places, too).
    ///
    /// Cancellation: total, partial and terminal alike: `cancelled_unsent` or `cancelled`, and a late reply is
    /// swallowed.
    template <asio::completion_token_for<void(error_code)> Token>
    auto async_exec(command const& what, reply_sink& sink, exec_options options, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(detail::initiate_exec{backend_.get()}, token, &what,
                                                             static_cast<reply_sink*>(&sink), options);
    }

    /// Completes `void(error_code)` when the connection is open, or with the reason why the attempt under way failed;
    /// at once where either is known. For checks at the start; no operation needs it.
    ///
    /// Errors: `not_connected` (see `last_error_text`), `no_auth`, `wrong_password`, `no_permission`, `tls_failed`,
    /// `loading`, `max_clients` and what else the handshake met; `client_closed`. Cancellation: all types:
    /// `cancelled_unsent`.
    template <asio::completion_token_for<void(error_code)> Token>
    auto async_connect(Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(detail::initiate_wait_open{backend_.get()}, token);
    }

    /// As `async_exec`, from any thread. Submissions of many threads wake the client's thread once a batch. The
    /// handler runs on its associated executor, by default the client's `io_context`; a cancellation signal is emitted
    /// where the handler runs, not on the client's thread.
    /// Precondition: the client outlives the call.
    template <asio::completion_token_for<void(error_code)> Token>
    auto async_exec_from_any_thread(command const& what, reply_sink& sink, exec_options options, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(detail::initiate_foreign_exec{backend_.get()}, token,
                                                             &what, static_cast<reply_sink*>(&sink), options);
    }

    asio::io_context::executor_type get_executor() const noexcept { return backend_->context().get_executor(); }

    /// Sends what has been submitted so far, where there is room, instead of at the end of this turn of the loop: so
    /// that the server works while the caller does, who has much to do yet in this turn.
    void flush() { backend_->flush(); }

    /// Whether the handshake is complete and the connection not known to be lost.
    bool connected() const noexcept { return backend_->is_open(); }
    /// Why there is no connection, or why the last one was lost; no error while connected.
    error_code last_error() const {
        return backend_->last_error() == errc{} ? error_code{} : error_code{backend_->last_error()};
    }
    /// The same in words, without user or password: "connect to 127.0.0.1:6379: Connection refused".
    std::string const& last_error_text() const noexcept { return backend_->last_error_text(); }
    client_statistics stats() const { return backend_->stats(); }
    client_options const& options() const noexcept { return backend_->options(); }

    /// For a `subscriber` to the same servers: tells where this client's commands go at present, that is, of a cluster
    /// a node in reach, behind sentinels the master that they name. May outlive the client, and knows nothing then. To
    /// be called on the client's thread.
    redis::address_source address_source() const {
        return [weak = std::weak_ptr(backend_)]() -> std::optional<address> {
            auto const behind = weak.lock();
            return behind ? behind->present_address() : std::nullopt;
        };
    }

    /// The servers over which the keys lie, as far as is known at present: the masters of a cluster that own slots, in
    /// the order of their least ones; otherwise the one server. Empty where none is known: `async_connect` tells when
    /// one is, or why not. To ask each of them (SCAN, TIME, DBSIZE), execute a command for each that is sent there by
    /// `command::at_slot`; which of them are there, and which slots they own, may change in between.
    std::vector<key_server> key_servers() const { return backend_->key_servers(); }

    /// Ends the connection for good. What waits completes with `client_closed`, what was sent with `connection_lost`.
    void close() { backend_->close(); }

private:
    std::shared_ptr<detail::backend> backend_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/client.ipp>
#endif
