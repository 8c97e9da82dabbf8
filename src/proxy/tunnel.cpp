#include "proxy/tunnel.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>

namespace weir::proxy {
namespace {

/// How many blocks in a row are moved without a turn of the loop for the others.
constexpr unsigned max_burst = 16;

tls_session::next meaning(error_code ec, tls_session::next not_yet) noexcept {
    using next = tls_session::next;
    if (!ec)
        return next::go_on;
    if (ec == asio::error::would_block)
        return not_yet;
    return ec == asio::error::eof ? next::ended : next::failed;
}

} // namespace

tunnel::tunnel(client_stream& client, upstream_connection& up, deadline_wheel& wheel, buffer_pool& blocks,
               patience limits) noexcept
    : wheel_(wheel)
    , blocks_(blocks)
    , limits_(limits)
    , client_{client.socket(),
              client.tls(),
              tunnel_end::client_broke_off,
              {*this, tunnel_end::client_broke_off},
              limits.client}
    , up_{up.socket,
          up.tls.get(),
          tunnel_end::upstream_broke_off,
          {*this, tunnel_end::upstream_broke_off},
          limits.idle} {}

awaitable<tunnel_end> tunnel::run(std::string_view said) {
    using namespace asio::experimental::awaitable_operators;
    wheel_.expires_after(idle_, limits_.idle);
    co_await (pump(client_, up_, said) && pump(up_, client_, {}));
    idle_.never();
    co_return end_;
}

awaitable<void> tunnel::pump(side& from, side& to, std::string_view data) {
    using next = tls_session::next;
    buffer_pool::block block;
    for (unsigned burst = 0; !over_; ++burst) {
        if (!data.empty()) {
            wheel_.expires_after(idle_, limits_.idle);
            if (!co_await write(to, data))
                co_return;
            data = {};
        }
        if (burst == max_burst) {
            burst = 0;
            co_await asio::post(from.socket.get_executor(), asio::use_awaitable_t<executor>{});
            if (over_ || !from.socket.is_open())
                continue;
        }
        if (!block)
            block = blocks_.take();
        std::size_t n = 0;
        auto const what = read_some(from, {block.data(), buffer_pool::block::size()}, n);
        if (what == next::go_on) {
            data = {block.data(), n};
            continue;
        }
        block.release();
        burst = 0;
        if (what == next::ended)
            co_return end_writing(to);
        if (what == next::failed)
            co_return stop(from.broken);
        if (!co_await wait(from, what))
            co_return;
    }
}

awaitable<bool> tunnel::write(side& to, std::string_view data) {
    using next = tls_session::next;
    while (!data.empty()) {
        std::size_t n = 0;
        auto const what = write_some(to, data, n);
        data.remove_prefix(n);
        to.written += n;
        if (what == next::go_on)
            continue;
        if (what == next::failed || what == next::ended) {
            stop(to.broken);
            co_return false;
        }
        wheel_.expires_after(to.unread, to.patience);
        bool const ready = co_await wait(to, what);
        to.unread.never();
        if (!ready)
            co_return false;
    }
    co_return true;
}

/// False: the tunnel is over.
awaitable<bool> tunnel::wait(side& for_what, tls_session::next what) {
    error_code ec;
    if (for_what.tls)
        ec = co_await wait_for(for_what.socket, what);
    else
        std::tie(ec) = co_await for_what.socket.async_wait(wait_of(what), use_result);
    if (ec)
        stop(for_what.broken);
    co_return !over_;
}

tls_session::next tunnel::read_some(side& from, asio::mutable_buffer room, std::size_t& n) {
    if (from.tls)
        return from.tls->read(room, n);
    error_code ec;
    n = from.socket.read_some(room, ec);
    return meaning(ec, tls_session::next::wait_read);
}

tls_session::next tunnel::write_some(side& to, std::string_view data, std::size_t& n) {
    if (to.tls)
        return to.tls->write(data, n);
    error_code ec;
    asio::const_buffer const bytes{data.data(), data.size()};
    n = to.socket.write_some({&bytes, 1}, ec);
    return meaning(ec, tls_session::next::wait_write);
}

void tunnel::end_writing(side& to) noexcept {
    if (to.tls)
        to.tls->say_goodbye();
    to.socket.shutdown(tcp_socket::shutdown_send); // who is gone already is found gone
}

void tunnel::stop(tunnel_end why) noexcept {
    if (over_)
        return;
    over_ = true;
    end_ = why;
    client_.socket.cancel();
    up_.socket.cancel();
}

} // namespace weir::proxy
