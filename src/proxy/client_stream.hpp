#pragma once

#include "proxy/deadline_wheel.hpp"
#include "proxy/io.hpp"
#include "proxy/read_buffer.hpp"
#include "proxy/tcp_socket.hpp"
#include "proxy/transfer.hpp"

#include <cstdint>
#include <memory>

namespace weir::proxy {

/// The socket of one client with what was read from it, its one coarse deadline, and the watch for a client that leaves
/// while it waits for its answer.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class client_stream final : public deadline_wheel::entry {
public:
    /// Takes a connected descriptor.
    client_stream(poller& by, int descriptor, deadline_wheel& wheel, std::chrono::nanoseconds write_timeout) noexcept
        : socket_(by, descriptor)
        , wheel_(wheel)
        , write_timeout_(write_timeout) {}

    tcp_socket& socket() noexcept { return socket_; }

    /// TLS is spoken from now on; shake_hands() comes before all else.
    void secure(tls_context_ptr how) {
        context_ = std::move(how);
        tls_ = std::make_unique<tls_session>(*context_, socket_);
    }
    bool is_secure() const noexcept { return tls_ != nullptr; }
    /// Null: in the clear.
    tls_session* tls() noexcept { return tls_.get(); }
    awaitable<error_code> shake_hands() { return proxy::shake_hands(socket_, *tls_); }
    /// Ends the stream as TLS demands, so that the client knows that nothing is missing.
    void say_goodbye() noexcept {
        if (tls_ && socket_.is_open()) // the session would write to whoever has the descriptor next
            tls_->say_goodbye();
    }

    /// Cancels what is under way on the socket after that time; then expired() holds.
    void limit(std::chrono::nanoseconds after) {
        watch_next_ = false;
        wheel_.expires_after(*this, after);
    }
    /// No deadline any more.
    void unlimited() noexcept {
        watch_next_ = false;
        never();
    }
    bool expired() const noexcept { return expired_; }

    /// Reads some more behind what `in` holds, or what is there of it.
    awaitable<error_code> read_more();
    transfer try_read_more(error_code& ec);
    /// Reads into `to`; `n` is how much.
    transfer try_read_some(asio::mutable_buffer to, std::size_t& n, error_code& ec);
    awaitable<error_code> read_some(asio::mutable_buffer to, std::size_t& n);

    /// Writes what the socket takes at once. True when `out` is empty now or the connection broke (`ec`); else go on
    /// with write().
    bool write_now(gather_list& out, error_code& ec);
    /// Writes the rest of `out`, each part of it within the write timeout.
    awaitable<error_code> write(gather_list& out);

    /// What keeps this object alive while it watches.
    void set_owner(std::weak_ptr<void> owner) noexcept { owner_ = std::move(owner); }

    /// From a moment on, looks whether the client leaves; if so gone() holds and the operations under way on `waiting`
    /// are cancelled. A client that half-closes counts as gone: it cannot be told from one that closed.
    /// `waiting` must live until stop_watching(). Not while anything reads.
    void watch(tcp_socket& waiting);

    /// Who is told that the client has left, called once.
    class leave_listener {
    public:
        virtual void on_client_left() = 0;

    protected:
        ~leave_listener() = default;
    };
    /// The same, telling `listener` instead, which must live until stop_watching(). Notices also a client that left
    /// with a part of its request unread.
    void watch(leave_listener& listener);
    void stop_watching() noexcept;
    bool gone() const noexcept { return gone_; }
    /// It is broken off from this side, which counts as the same.
    void set_gone() noexcept {
        gone_ = true;
        if (listener_ != nullptr)
            listener_->on_client_left();
    }
    /// The client has sent something that is not consumed, most likely more requests: a close would reset the
    /// connection, and what it has not received of the answers would be lost.
    bool has_more() noexcept;

    /// Bytes written since the connection was accepted.
    std::uint64_t written() const noexcept { return written_; }
    /// `n` more were, by who speaks on the socket itself.
    void add_written(std::uint64_t n) noexcept { written_ += n; }
    /// Bytes read since the connection was accepted.
    std::uint64_t received() const noexcept { return received_; }

    read_buffer in;

private:
    void on_deadline() override;
    void begin_watch();
    void start_watch();
    bool peer_has_left();

    tcp_socket socket_;
    tls_context_ptr context_;
    std::unique_ptr<tls_session> tls_;
    deadline_wheel& wheel_;
    std::chrono::nanoseconds write_timeout_;
    std::uint64_t written_ = 0;
    std::uint64_t received_ = 0;
    std::weak_ptr<void> owner_;
    tcp_socket* waiting_ = nullptr;
    leave_listener* listener_ = nullptr;
    bool watch_next_ = false;
    bool watching_ = false;
    bool expired_ = false;
    bool gone_ = false;
};

} // namespace weir::proxy
