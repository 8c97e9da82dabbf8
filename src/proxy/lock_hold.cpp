#include "proxy/lock_hold.hpp"

#include "proxy/head_writer.hpp"

namespace weir::proxy {

void lock_hold::take(lock::lease lease, upstream_handle& call) {
    lease_ = std::move(lease);
    fence_ = lease_.fence();
    fields_.assign(fence_field).append(": ");
    append_number(fields_, fence_);
    fields_.append("\r\n");
    lease_.on_lost([this, &call] { on_lost(call); });
}

awaitable<void> lock_hold::give_back() {
    if (lease_)
        co_await lease_.async_release(use_result);
}

void lock_hold::on_lost(upstream_handle& call) noexcept {
    lost_ = true;
    if (!call)
        return;
    // Not closed: TLS still knows the descriptor by its number. The upstream is told at once, whoever is waited for.
    call->socket.shutdown(tcp_socket::shutdown_both);
    call->socket.cancel();
}

} // namespace weir::proxy
