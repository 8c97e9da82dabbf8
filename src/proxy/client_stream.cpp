#include "proxy/client_stream.hpp"

#include <boost/asio/error.hpp>

#include <poll.h>

#include <cerrno>

namespace weir::proxy {
namespace {

/// A request that takes longer than this has its client watched; a shorter one is spared the system calls.
constexpr std::chrono::milliseconds watch_after{100};

bool has_left(tcp_socket& socket) noexcept {
    auto const n = socket.peek();
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/// The same, whatever there is to read.
bool has_hung_up(tcp_socket& socket) noexcept {
    pollfd state{socket.native_handle(), POLLRDHUP, 0};
    return ::poll(&state, 1, 0) > 0;
}

} // namespace

transfer client_stream::try_read_more(error_code& ec) {
    std::size_t n = 0;
    auto const what = try_read_some(in.prepare(), n, ec);
    in.commit(n);
    return what;
}

transfer client_stream::try_read_some(asio::mutable_buffer to, std::size_t& n, error_code& ec) {
    auto const what = try_read(socket_, tls_.get(), to, n, ec);
    received_ += n;
    return what;
}

awaitable<error_code> client_stream::read_more() {
    std::size_t n = 0;
    auto const ec = co_await read_some(in.prepare(), n);
    in.commit(n);
    co_return ec;
}

awaitable<error_code> client_stream::read_some(asio::mutable_buffer to, std::size_t& n) {
    auto const ec = co_await read(socket_, tls_.get(), to, n);
    received_ += n;
    co_return ec;
}

bool client_stream::write_now(gather_list& out, error_code& ec) {
    return try_write(socket_, tls_.get(), out, written_, ec) == transfer::done;
}

awaitable<error_code> client_stream::write(gather_list& out) {
    error_code ec;
    bool const resume_watch = watch_next_;
    for (;;) {
        auto const what = try_write(socket_, tls_.get(), out, written_, ec);
        if (what == transfer::done)
            break;
        limit(write_timeout_);
        std::tie(ec) = co_await socket_.async_wait(wait_of(what), in_place);
        if (ec)
            break;
    }
    unlimited();
    if (resume_watch && waiting_ != nullptr)
        watch(*waiting_);
    co_return ec;
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

bool client_stream::has_more() noexcept { return socket_.is_open() && (!in.empty() || socket_.peek() > 0); }

bool client_stream::peer_has_left() {
    if (listener_ != nullptr && has_hung_up(socket_))
        return true;
    return tls_ ? tls_->peer_has_left() : has_left(socket_);
}

} // namespace weir::proxy
