#include "proxy/client_stream.hpp"

#include <boost/asio/error.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace weir::proxy {
namespace {

/// A request that takes longer than this has its client watched; a shorter one is spared the system calls.
constexpr std::chrono::milliseconds watch_after{100};

bool has_left(tcp_socket& socket) noexcept {
    char byte = 0;
    auto const n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/// The same, whatever there is to read.
bool has_hung_up(tcp_socket& socket) noexcept {
    pollfd state{socket.native_handle(), POLLRDHUP, 0};
    return ::poll(&state, 1, 0) > 0;
}

} // namespace

awaitable<error_code> client_stream::read_more() {
    std::size_t n = 0;
    auto const ec = co_await read_some(in.prepare(), n);
    in.commit(n);
    co_return ec;
}

awaitable<error_code> client_stream::read_some(asio::mutable_buffer to, std::size_t& n) {
    if (tls_) [[unlikely]] {
        auto const failed = co_await read_secure(socket_, *tls_, to, n);
        received_ += n;
        co_return failed;
    }
    for (;;) {
        error_code ec;
        n = socket_.read_some(to, ec);
        received_ += n;
        if (ec != asio::error::would_block)
            co_return ec;
        auto const [failed] = co_await socket_.async_wait(tcp_socket::wait_read, use_result);
        if (failed)
            co_return failed;
    }
}

bool client_stream::write_now(gather_list& out, error_code& ec) {
    if (tls_) [[unlikely]] {
        std::size_t n = 0;
        bool const done = write_secure_now(*tls_, out, ec, n);
        written_ += n;
        return done;
    }
    while (!out.empty()) {
        auto const n = socket_.write_some(out.buffers(), ec);
        written_ += n;
        out.consume(n);
        if (ec == asio::error::would_block) {
            ec.clear();
            return false;
        }
        if (ec)
            return true;
    }
    ec.clear();
    return true;
}

awaitable<error_code> client_stream::write(gather_list& out) {
    error_code result;
    bool const resume_watch = watch_next_;
    while (!out.empty() && !result) {
        limit(write_timeout_);
        if (tls_) [[unlikely]] {
            result = co_await wait_for(socket_, tls_session::next::wait_write);
            if (!result)
                write_now(out, result);
            continue;
        }
        auto const [failed] = co_await socket_.async_wait(tcp_socket::wait_write, use_result);
        result = failed;
        if (!result)
            write_now(out, result);
    }
    unlimited();
    if (resume_watch && waiting_ != nullptr)
        watch(*waiting_);
    co_return result;
}

void client_stream::watch(tcp_socket& waiting) {
    waiting_ = &waiting;
    if (!watching_)
        begin_watch();
}

void client_stream::watch(leave_listener& listener) {
    listener_ = &listener;
    if (!watching_)
        begin_watch();
}

void client_stream::begin_watch() {
    wheel_.expires_after(*this, watch_after);
    watch_next_ = true;
}

void client_stream::stop_watching() noexcept {
    if (watch_next_)
        unlimited();
    if (watching_) {
        watching_ = false;
        socket_.cancel();
    }
    waiting_ = nullptr;
    listener_ = nullptr;
}

void client_stream::on_deadline() {
    if (watch_next_) {
        watch_next_ = false;
        return start_watch();
    }
    expired_ = true;
    socket_.cancel();
}

void client_stream::start_watch() {
    watching_ = true;
    socket_.quiet(); // what was read exactly may have left it in doubt whether there is more
    socket_.async_wait(tcp_socket::wait_read, [this, owner = owner_.lock()](error_code ec) {
        if (ec || !watching_)
            return;
        watching_ = false;
        if (!peer_has_left()) {
            // The next request, sent ahead: such a client is found gone when its answer is written. Or more of this
            // one, whose client must not be waited for in vain.
            if (listener_ != nullptr)
                begin_watch();
            return;
        }
        gone_ = true;
        if (waiting_ != nullptr)
            waiting_->cancel();
        if (listener_ != nullptr)
            listener_->on_client_left();
    });
}

bool client_stream::peer_has_left() {
    if (listener_ != nullptr && has_hung_up(socket_))
        return true;
    return tls_ ? tls_->peer_has_left() : has_left(socket_);
}

} // namespace weir::proxy
