#include "proxy/worker.hpp"

#include "proxy/health_check.hpp"
#include "proxy/proxied_connection.hpp"
#include "service/service_connection.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

namespace weir::proxy {
namespace {

std::string_view text_of(std::exception_ptr const& failure) noexcept {
    try {
        std::rethrow_exception(failure);
    } catch (std::exception const& e) {
        return e.what();
    } catch (...) {
        return "unknown exception";
    }
}

bool is_out_of_resources(error_code ec) noexcept {
    return ec == asio::error::no_descriptors || ec == asio::error::no_memory || ec == asio::error::no_buffer_space ||
           ec == boost::system::errc::too_many_files_open_in_system;
}

template <class Condition>
bool any_route(config::config const& config, Condition const& holds) {
    return std::any_of(config.routes.begin(), config.routes.end(), holds);
}

} // namespace

std::vector<redis::script const*> worker_scripts() {
    auto all = rate_limit_scripts();
    for (auto const& more : {circuit::scripts(), lock::scripts(), lock::idempotency_scripts()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

worker::worker(std::shared_ptr<edition const> e, shared_parts const& shared, std::size_t index, log_function const& log)
    : log_(log)
    , index_(index)
    , parts_(shared.access_log)
    , local_(shared.local)
    , limit_(shared.connections)
    , used_permits_(shared.used_permits)
    // One thread runs the loop; others only post to it.
    , io_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO)
    , redis_metrics_(e->counters->worker(index).redis, worker_scripts(), log_)
    , tick_(io_) {
    parts_.sockets.start(io_);
    auto const& config = *e->config;
    if (config.needs_redis())
        start_redis(config, shared.redis);
    adopt(std::move(e));
    update_date();
}

void worker::adopt(std::shared_ptr<edition const> e) {
    auto const& config = *e->config;
    if (!config.limits.empty() && !limiter_)
        start_limiter(config);
    auto& counts = e->counters->worker(index_);
    if (!e->circuits.all.empty() && !circuits_)
        circuits_.emplace(*redis_, news(), config.redis.key_prefix, counts, log_, index_ == 0);
    if (circuits_)
        circuits_->change(e->circuits, counts);
    bool const shares = any_route(config, [](config::route const& r) { return r.single_flight.has_value(); });
    bool const asked_for = !config.locks.empty() || shares || (config.decision && redis_);
    if (asked_for && !locks_)
        locks_.emplace(*redis_, news(), config.redis.key_prefix);
    if (locks_)
        locks_->change(config, counts);
    parts_.now = make_services(std::move(e));
}

redis::subscriber& worker::news() {
    if (!news_) {
        auto options = redis_->options();
        options.observer = nullptr; // that the client's connection lives is told by the client
        options.scripts.clear();
        news_.emplace(io_, std::move(options), redis_->address_source());
    }
    return *news_;
}

void worker::change(std::shared_ptr<edition const> to) {
    asio::post(io_, [this, to = std::move(to)]() mutable {
        adopt(std::move(to));
        if (index_ == 0)
            start_health_checks(io_, parts_, parts_.now, log_);
    });
}

void worker::start_redis(config::config const& config, redis::client_options options) {
    options.timeout = config.redis.timeout;
    options.scripts = worker_scripts();
    options.observer = &redis_metrics_;
    redis_.emplace(io_, std::move(options));
}

void worker::start_limiter(config::config const& config) {
    limiter_options how;
    how.key_prefix = config.redis.key_prefix;
    how.local = local_;
    how.remembered_refusals = 10'000;
    how.heartbeat = std::chrono::seconds{2};
    limiter_.emplace(*redis_, std::move(how));
}

services_ptr worker::make_services(std::shared_ptr<edition const> e) {
    services_ptr made(new services(parts_, std::move(e), index_));
    auto const& config = made->config;
    auto const& plan = made->whole->circuits;
    auto& counts = made->counts;
    std::size_t targets = 0;
    for (auto const& each : config.upstreams)
        targets += each.targets.size();
    auto const max_idle = std::max<std::size_t>(limit_->idle_per_worker() / std::max<std::size_t>(targets, 1), 1);
    for (std::size_t i = 0; i < config.upstreams.size(); ++i) {
        auto& each = *made->upstreams.emplace_back(std::make_unique<upstream>(
            io_, parts_.sockets, parts_.wheel, config.upstreams[i], made->whole->addresses[i],
            made->whole->to_upstreams[i], made->whole->ill[i], counts.upstreams[i], parts_.ids.random(), max_idle));
        if (auto const c = plan.of_upstream[i])
            each.circuit = circuits_->get(plan, *c, counts);
        for (auto const c : plan.of_targets[i])
            each.target_circuits.push_back(circuits_->get(plan, c, counts));
    }
    if (limiter_ && !config.limits.empty())
        made->admission.emplace(config, *limiter_, counts, parts_.known.hot, parts_.wheel, parts_.ids);
    for (std::size_t i = 0; i < plan.all.size() && config.decision; ++i)
        made->circuits.push_back(circuits_->get(plan, i, counts));
    made->used_permits = used_permits_;
    if (locks_)
        made->locks = &locks_->manager();
    if (locks_ && !config.locks.empty())
        made->gate.emplace(config, locks_->manager(), counts);
    if (any_route(config, [](config::route const& r) { return r.idempotency.has_value(); })) {
        made->once.emplace(config, *redis_, parts_.wheel, parts_.finishing);
        made->once->belong_to(*made);
    }
    if (any_route(config, [](config::route const& r) { return r.single_flight.has_value(); }))
        made->flights.emplace(config, locks_->manager(), *redis_);
    if (made->admission)
        made->admission->belong_to(*made, parts_.finishing);
    return made;
}

worker::~worker() {
    parts_.sockets.stop();
    parts_.now.reset();
}

void worker::listen(tcp::acceptor::protocol_type protocol, int listening_socket, door what, std::size_t index) {
    entrances_.push_back({tcp_acceptor{io_, protocol, listening_socket}, what, index});
    entrances_.back().acceptor.non_blocking(true);
}

void worker::run() {
    frame_pool const frames;
    asio::co_spawn(io_, tick_loop(), asio::detached);
    if (index_ == 0)
        start_health_checks(io_, parts_, parts_.now, log_);
    for (auto& each : entrances_)
        asio::co_spawn(io_, accept_loop(each), asio::detached);
    io_.run();
    parts_.log.flush();
}

void worker::begin_drain(std::chrono::milliseconds deadline) {
    asio::post(io_, [this, deadline] {
        if (parts_.draining)
            return;
        parts_.draining = true;
        drain_until_ = boot_clock::now() + deadline;
        close_acceptors();
        for (auto& each : connections_)
            each.drain();
    });
}

void worker::stop() {
    asio::post(io_, [this] {
        parts_.draining = true;
        drain_until_ = boot_clock::time_point::min();
        close_acceptors();
        abort_connections();
    });
}

void worker::ask(std::function<void(insight const&)> question) {
    asio::post(io_, [this, question = std::move(question)] { question(parts_.known); });
}

void worker::close_acceptors() {
    error_code ec;
    for (auto& each : entrances_) {
        auto& acceptor = each.acceptor;
        // Clients whose connection the kernel has accepted already are served, not reset.
        while (acceptor.is_open() && !accept_one(each)) {
        }
        acceptor.close(ec);
    }
}

void worker::abort_connections() {
    stopping_ = true;
    for (auto& each : connections_)
        each.abort();
}

awaitable<void> worker::accept_loop(entrance& from) {
    while (from.acceptor.is_open()) {
        auto [ec] = co_await from.acceptor.async_wait(tcp_acceptor::wait_read, use_result);
        if (!ec)
            ec = accept_one(from);
        if (is_out_of_resources(ec)) {
            log_(log_level::error, "cannot accept connections: " + ec.message() + ": raise the limit of open files");
            for (auto& each : parts_.now->upstreams)
                each->pool.clear();
            timer pause(io_, std::chrono::milliseconds{100});
            co_await pause.async_wait(use_result);
        }
    }
}

error_code worker::accept_one(entrance& from) {
    tcp::endpoint peer;
    auto size = static_cast<socklen_t>(peer.capacity());
    auto const made = ::accept4(from.acceptor.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made < 0)
        return {errno, boost::system::system_category()};
    peer.resize(size);
    open(made, peer, from);
    return {};
}

void worker::open(int descriptor, tcp::endpoint const& peer, entrance const& by) {
    if (!limit_->enter()) {
        log_(log_level::warning, "as many connections are open as can be served, " + std::to_string(limit_->most()) +
                                     ": refusing more: raise the limit of open files");
        return tcp_socket(parts_.sockets, descriptor).close_with_reset();
    }
    std::shared_ptr<connection> made;
    if (by.what == door::decision)
        made = std::make_shared<service::service_connection>(parts_, descriptor, peer);
    else
        made = std::make_shared<proxied_connection>(parts_, descriptor, peer);
    if (by.what == door::proxy)
        if (auto const& tls = parts_.now->whole->listeners[by.index])
            made->secure(tls);
    connections_.push_back(*made);
    asio::co_spawn(io_, made->run(), [this, made](std::exception_ptr const& failure) {
        limit_->leave();
        if (failure)
            log_(log_level::error, "a connection ended by an exception: " + std::string(text_of(failure)));
    });
}

awaitable<void> worker::tick_loop() {
    for (;;) {
        tick_.expires_after(deadline_wheel::tick);
        auto [ec] = co_await tick_.async_wait(use_result);
        if (ec)
            co_return;
        auto const now = boot_clock::now();
        parts_.wheel.move_to(now);
        parts_.sockets.poll(); // however late this is, what came before a deadline is seen before it passes
        parts_.wheel.fire();
        parts_.log.flush();
        parts_.known.hot.tick(now);
        if (redis_)
            redis_metrics_.update(redis_->stats());
        update_date();
        if (!parts_.draining)
            continue;
        // Redis shall hear of the last places and locks given back; its timeout bounds the wait.
        if (connections_.empty() && parts_.finishing == 0 && (!locks_ || locks_->settled(now)))
            break;
        if (now >= drain_until_ && !stopping_)
            abort_connections();
    }
    io_.stop();
}

void worker::update_date() {
    auto const now = std::time(nullptr);
    if (now == date_of_)
        return;
    date_of_ = now;
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::array<char, 64> text{};
    auto const n = std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                 days[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                                 months[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900, parts.tm_hour,
                                 parts.tm_min, parts.tm_sec);
    parts_.date.assign(text.data(), static_cast<std::size_t>(n));
}

} // namespace weir::proxy
