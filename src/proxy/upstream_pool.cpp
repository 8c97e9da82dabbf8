#include "proxy/upstream_pool.hpp"

#include <weir/circuit/classify.hpp>

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <string>

namespace weir::proxy {
namespace {

constexpr std::chrono::seconds resolved_for{30};
constexpr std::chrono::seconds resolve_again_after{1};
constexpr std::size_t max_addresses = 8;
constexpr std::chrono::milliseconds next_try_after{50};

template <class Results>
address_list to_addresses(Results const& results) {
    address_list list;
    for (auto const& result : results)
        if (list.size() < max_addresses && std::find(list.begin(), list.end(), result.endpoint()) == list.end())
            list.push_back(result.endpoint());
    return list;
}

} // namespace

address_list resolve_now(config::target const& t, error_code& ec) {
    asio::io_context io;
    asio::ip::basic_resolver<tcp, executor> resolver(io);
    return to_addresses(resolver.resolve(t.host, std::to_string(t.port), ec));
}

void upstream_connection::on_deadline() {
    if (idle_)
        return pool_.drop_idle(*this); // destroys this
    expired = true;
    socket.cancel();
}

upstream_pool::upstream_pool(asio::io_context& io, poller& sockets, deadline_wheel& wheel,
                             config::upstream const& settings, std::vector<address_list> addresses, tls_context_ptr tls,
                             std::size_t max_idle)
    : io_(io)
    , sockets_(sockets)
    , wheel_(wheel)
    , settings_(settings)
    , resolver_(io)
    , targets_(settings.targets.size())
    , tls_(std::move(tls))
    , max_idle_(std::min(max_idle, max_idle_per_target)) {
    addresses.resize(targets_.size());
    for (std::size_t i = 0; i < targets_.size(); ++i) {
        error_code not_an_address;
        asio::ip::make_address(settings.targets[i].host, not_an_address);
        targets_[i].is_name = not_an_address.failed();
        targets_[i].addresses = std::move(addresses[i]);
        if (!targets_[i].addresses.empty())
            targets_[i].refresh_at = boot_clock::now() + resolved_for;
        targets_[i].idle.reserve(max_idle_);
    }
}

upstream_pool::~upstream_pool() = default;

upstream_handle upstream_pool::take_idle(std::size_t target) {
    auto& idle = targets_[target].idle;
    while (!idle.empty()) {
        auto connection = std::move(idle.back());
        idle.pop_back();
        connection->idle_ = false;
        connection->never();
        if (connection->socket.quiet())
            return connection;
    }
    return nullptr;
}

awaitable<connect_failure> upstream_pool::connect(std::size_t target, upstream_handle& into) {
    auto why = co_await try_addresses(target, into);
    auto const give_up = boot_clock::now() + settings_.connect_timeout;
    while (why == connect_failure::own_side && boot_clock::now() < give_up) {
        into.reset();
        clear(); // what is idle has descriptors, too
        timer pause(io_, next_try_after);
        co_await pause.async_wait(use_result);
        into = take_idle(target);
        why = connect_failure::none;
        if (!into)
            why = co_await try_addresses(target, into);
    }
    if (why != connect_failure::none)
        into.reset();
    co_return why;
}

awaitable<connect_failure> upstream_pool::try_addresses(std::size_t target, upstream_handle& into) {
    auto& state = targets_[target];
    if ((state.is_name || state.addresses.empty()) && boot_clock::now() >= state.refresh_at)
        refresh(target);
    // By value: a refresh may replace the list meanwhile.
    auto const addresses = state.addresses;
    auto why = connect_failure::unresolved;
    for (auto const& address : addresses) {
        into = std::make_unique<upstream_connection>(sockets_, *this, target);
        wheel_.expires_after(*into, settings_.connect_timeout);
        auto const ec = co_await into->socket.connect(address);
        into->never();
        if (!ec) {
            into->socket.no_delay();
            if (settings_.targets[target].tls)
                co_return co_await shake_hands(*into);
            co_return connect_failure::none;
        }
        if (into->expired)
            co_return connect_failure::timed_out;
        if (ec == asio::error::operation_aborted)
            co_return connect_failure::cancelled;
        why = circuit::classify(ec) == circuit::outcome::local_failure ? connect_failure::own_side
                                                                       : connect_failure::refused;
    }
    co_return why;
}

awaitable<connect_failure> upstream_pool::shake_hands(upstream_connection& with) {
    auto const& how = settings_.tls;
    auto const& host = how.server_name.empty() ? settings_.targets[with.target()].host : how.server_name;
    with.tls = std::make_unique<tls_session>(*tls_, with.socket, host, how.verify);
    wheel_.expires_after(with, settings_.connect_timeout);
    auto const ec = co_await proxy::shake_hands(with.socket, *with.tls);
    with.never();
    if (!ec)
        co_return connect_failure::none;
    if (with.expired)
        co_return connect_failure::timed_out;
    if (ec == asio::error::operation_aborted)
        co_return connect_failure::cancelled;
    tls_failure_ = with.tls->explain();
    co_return connect_failure::tls;
}

void upstream_pool::refresh(std::size_t target) {
    auto& state = targets_[target];
    if (state.resolving)
        return;
    state.resolving = true;
    auto const& t = settings_.targets[target];
    resolver_.async_resolve(t.host, std::to_string(t.port),
                            [&state, alive = std::weak_ptr(alive_)](error_code ec, auto const& results) {
                                if (alive.expired())
                                    return; // a result that was on its way when the pool was destroyed
                                state.resolving = false;
                                state.refresh_at = boot_clock::now();
                                if (ec) {
                                    state.refresh_at += resolve_again_after; // what was known stays in use
                                    return;
                                }
                                state.refresh_at += resolved_for;
                                state.addresses = to_addresses(results);
                            });
}

void upstream_pool::put_back(upstream_handle connection) {
    auto& idle = targets_[connection->target()].idle;
    if (idle.size() >= max_idle_)
        return;
    connection->idle_ = true;
    connection->reused = true;
    wheel_.expires_after(*connection, idle_for);
    idle.push_back(std::move(connection));
}

void upstream_pool::clear() noexcept {
    for (auto& state : targets_)
        state.idle.clear();
}

std::size_t upstream_pool::idle() const noexcept {
    std::size_t n = 0;
    for (auto const& state : targets_)
        n += state.idle.size();
    return n;
}

void upstream_pool::drop_idle(upstream_connection& connection) noexcept {
    auto& idle = targets_[connection.target()].idle;
    std::erase_if(idle, [&](upstream_handle const& h) { return h.get() == &connection; });
}

} // namespace weir::proxy
