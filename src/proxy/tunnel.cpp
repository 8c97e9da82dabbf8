#include "proxy/tunnel.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>

namespace weir::proxy {
namespace {

/// How many blocks in a row are moved without a turn of the loop for the others.
constexpr unsigned max_burst = 16;

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
        error_code ec;
        auto const what = try_read(from.socket, from.tls, {block.data(), buffer_pool::piece_size}, n, ec);
        if (what == transfer::done && !ec) {
            data = {block.data(), n};
            continue;
        }
        block.release();
        burst = 0;
        if (what != transfer::done && !co_await wait(from, what))
            co_return;
        if (what != transfer::done)
            continue;
        if (ec == asio::error::eof)
            co_return end_writing(to);
        co_return stop(from.broken);
    }
}

awaitable<bool> tunnel::write(side& to, std::string_view data) {
    gather_list out;
    out.add(data);
    for (;;) {
        error_code ec;
        auto const what = try_write(to.socket, to.tls, out, to.written, ec);
        if (what == transfer::done && ec)
            stop(to.broken);
        if (what == transfer::done)
            co_return !ec;
        wheel_.expires_after(to.unread, to.patience);
        bool const ready = co_await wait(to, what);
        to.unread.never();
        if (!ready)
            co_return false;
    }
}

/// False: the tunnel is over.
awaitable<bool> tunnel::wait(side& for_what, transfer what) {
    auto const [ec] = co_await for_what.socket.async_wait(wait_of(what), in_place);
    if (ec)
        stop(for_what.broken);
    co_return !over_;
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
