#include "proxy/tcp_socket.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace weir::proxy {
namespace {

error_code last_error() noexcept { return {errno, boost::system::system_category()}; }

ssize_t send_to(int descriptor, std::span<asio::const_buffer const> from) noexcept {
    if (from.size() == 1)
        return ::send(descriptor, from.front().data(), from.front().size(), MSG_NOSIGNAL);
    std::array<iovec, gather_list::capacity> parts;
    msghdr message{};
    message.msg_iov = parts.data();
    for (auto const& each : from)
        parts[message.msg_iovlen++] = {const_cast<void*>(each.data()), each.size()};
    return ::sendmsg(descriptor, &message, MSG_NOSIGNAL);
}

bool is_blocked(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

} // namespace

tcp_socket::tcp_socket(poller& by, int descriptor) noexcept
    : poller_(by) {
    open(descriptor);
}

tcp_socket::~tcp_socket() { close(); }

error_code tcp_socket::open(int descriptor) noexcept {
    if (auto const failed = poller_.add(descriptor, *this)) {
        ::close(descriptor);
        return failed;
    }
    descriptor_ = descriptor;
    ready_[wait_read] = ready_[wait_write] = ended_ = false; // until it is told
    return {};
}

awaitable<error_code> tcp_socket::connect(tcp::endpoint const& to) {
    close();
    auto const made = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (made < 0)
        co_return last_error();
    bool const at_once = ::connect(made, to.data(), static_cast<socklen_t>(to.size())) == 0;
    if (!at_once && errno != EINPROGRESS) {
        auto const failed = last_error();
        ::close(made);
        co_return failed;
    }
    if (auto const failed = open(made))
        co_return failed;
    if (at_once)
        co_return error_code{};
    auto const [ec] = co_await async_wait(wait_write, use_result);
    if (ec)
        co_return ec;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size);
    co_return error_code{error, boost::system::system_category()};
}

std::size_t tcp_socket::read_some(asio::mutable_buffer to, error_code& ec) noexcept {
    if (!ready_[wait_read] || burst_ == max_burst) {
        burst_ = 0;
        ec = is_open() ? asio::error::would_block : asio::error::bad_descriptor;
        return 0;
    }
    ssize_t n;
    do
        n = ::recv(descriptor_, to.data(), to.size(), 0);
    while (n < 0 && errno == EINTR);
    ++burst_;
    ec.clear();
    if (n > 0) {
        // Less than asked for is all there is; of what comes later, the poller tells.
        ready_[wait_read] = ended_ || static_cast<std::size_t>(n) == to.size();
        return static_cast<std::size_t>(n);
    }
    if (n == 0) {
        ec = asio::error::eof;
        return 0;
    }
    if (is_blocked(errno)) {
        ready_[wait_read] = false;
        ec = asio::error::would_block;
    } else {
        ec = last_error();
    }
    return 0;
}

std::size_t tcp_socket::write_some(std::span<asio::const_buffer const> from, error_code& ec) noexcept {
    auto const size = asio::buffer_size(from);
    ssize_t n;
    do
        n = send_to(descriptor_, from);
    while (n < 0 && errno == EINTR);
    ec.clear();
    if (n >= 0) {
        ready_[wait_write] = static_cast<std::size_t>(n) == size;
        return static_cast<std::size_t>(n);
    }
    if (is_blocked(errno)) {
        ready_[wait_write] = false;
        ec = asio::error::would_block;
    } else {
        ec = last_error();
    }
    return 0;
}

void tcp_socket::wait(wait_type what, std::unique_ptr<waiter> who) {
    if (!is_open())
        return complete_later(std::move(who), asio::error::bad_descriptor);
    if (ready_[what])
        return complete_later(std::move(who), {});
    who->next = std::move(waiting_[what]);
    waiting_[what] = std::move(who);
    poller_.begin_wait();
}

std::unique_ptr<tcp_socket::waiter> tcp_socket::take(wait_type what) noexcept {
    auto all = std::move(waiting_[what]);
    std::size_t n = 0;
    for (auto const* each = all.get(); each != nullptr; each = each->next.get())
        ++n;
    if (n != 0)
        poller_.end_waits(n);
    return all;
}

void tcp_socket::complete_later(std::unique_ptr<waiter> all, error_code ec) {
    while (all) {
        auto rest = std::move(all->next);
        if (!poller_.stopped())
            asio::post(poller_.get_executor(), [who = std::move(all), ec]() mutable {
                auto& it = *who;
                it.complete(ec, std::move(who));
            });
        all = std::move(rest);
    }
}

void tcp_socket::on_events(std::uint32_t events) {
    ended_ = ended_ || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    ready_[wait_read] = ready_[wait_read] || ended_ || (events & EPOLLIN) != 0;
    ready_[wait_write] = ready_[wait_write] || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    burst_ = 0;
    auto readers = ready_[wait_read] ? take(wait_read) : nullptr;
    auto writers = ready_[wait_write] ? take(wait_write) : nullptr;
    // From here on this may be gone.
    for (auto* list : {&readers, &writers})
        while (*list) {
            auto who = std::move(*list);
            *list = std::move(who->next);
            auto& it = *who;
            it.complete({}, std::move(who));
        }
}

void tcp_socket::on_stop() noexcept {
    auto const readers = take(wait_read), writers = take(wait_write);
    // Now they are destroyed, and this with them where they are what keeps it.
}

ssize_t tcp_socket::peek() noexcept {
    char byte = 0;
    return ::recv(descriptor_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

bool tcp_socket::quiet() noexcept {
    if (!is_open() || ended_)
        return false;
    if (ready_[wait_read]) {
        auto const n = peek();
        ready_[wait_read] = n >= 0 || !is_blocked(errno);
    }
    return !ready_[wait_read];
}

void tcp_socket::cancel() noexcept {
    complete_later(take(wait_read), asio::error::operation_aborted);
    complete_later(take(wait_write), asio::error::operation_aborted);
}

void tcp_socket::close() noexcept {
    if (!is_open())
        return;
    poller_.remove(descriptor_, *this);
    ::close(std::exchange(descriptor_, -1));
    ready_[wait_read] = ready_[wait_write] = false;
    cancel();
}

void tcp_socket::close_with_reset() noexcept {
    linger const at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

void tcp_socket::no_delay() noexcept {
    int const on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

} // namespace weir::proxy
