#include "proxy/server.hpp"

#include "config/fixed_changes.hpp"
#include "service/used_permits.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/v6_only.hpp>

#include <csignal>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <string>

namespace weir::proxy {
namespace {

constexpr int backlog = 4096;

using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

std::string display(tcp::endpoint const& at) {
    auto const host = at.address().to_string();
    return (at.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(at.port());
}

start_error cannot_listen(tcp::endpoint const& at, error_code ec) {
    auto const where = display(at);
    if (ec == asio::error::access_denied)
        return start_error(where +
                           " may not be listened on: ports below 1024 need the capability CAP_NET_BIND_SERVICE");
    if (ec == boost::system::errc::address_not_available)
        return start_error(where + " is not an address of this machine");
    return start_error("cannot listen on " + where + ": " + ec.message());
}

tcp::acceptor open_listener(asio::io_context& io, tcp::endpoint const& at, std::optional<std::size_t> index,
                            bool shared) {
    error_code ec;
    tcp::acceptor acceptor(io);
    acceptor.open(at.protocol(), ec);
    if (!ec)
        acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec && shared)
        acceptor.set_option(reuse_port(true), ec);
    if (!ec && at.address().is_v6())
        acceptor.set_option(asio::ip::v6_only(at.address() != asio::ip::address_v6::any()), ec);
    if (!ec)
        acceptor.bind(at, ec);
    if (!ec && shared)
        acceptor.listen(backlog, ec);
    if (ec == asio::error::address_in_use)
        throw address_in_use(display(at), index);
    if (ec)
        throw cannot_listen(at, ec);
    return acceptor;
}

/// Signals belong to the thread that waits for them.
class signals_blocked {
public:
    signals_blocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    signals_blocked(signals_blocked const&) = delete;
    signals_blocked& operator=(signals_blocked const&) = delete;
    ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

} // namespace

unsigned worker_count(config::config const& config) noexcept {
    return config.workers != 0 ? config.workers : std::max(1U, std::thread::hardware_concurrency());
}

namespace {

metrics::names names_of(config::config const& config) {
    metrics::names names;
    for (auto const& each : config.routes)
        names.routes.push_back(each.name);
    for (auto const& each : config.limits)
        names.rules.push_back(each.rule.name);
    for (auto const& each : config.upstreams)
        names.upstreams.push_back(each.name);
    for (auto const& each : circuit_plan(config).all)
        names.circuits.push_back(each.name);
    for (auto const& each : config.locks)
        names.locks.push_back(each.name);
    for (auto const* each : worker_scripts())
        names.scripts.push_back(each->name());
    return names;
}

/// What the health check knew of a target goes on where the next configuration has the same.
void take_over_health(edition const& from, edition& to) {
    for (std::size_t i = 0; i < to.config->upstreams.size(); ++i)
        for (std::size_t j = 0; j < from.config->upstreams.size(); ++j) {
            auto const& one = to.config->upstreams[i];
            auto const& old = from.config->upstreams[j];
            if (one.name != old.name || !one.health || !old.health)
                continue;
            auto const ill = from.ill[j].load(std::memory_order_relaxed);
            for (std::size_t a = 0; a < one.targets.size(); ++a)
                for (std::size_t b = 0; b < old.targets.size(); ++b)
                    if (one.targets[a].text == old.targets[b].text && (ill >> b & 1) != 0)
                        to.ill[i].fetch_or(target_set{1} << a, std::memory_order_relaxed);
        }
}

} // namespace

std::shared_ptr<metrics::registry> make_registry(config::config const& config) {
    return std::make_shared<metrics::registry>(names_of(config), worker_count(config));
}

server::server(std::shared_ptr<config::config const> config, server_options options)
    : options_(std::move(options))
    , edition_(std::make_shared<edition>(std::move(config))) {
    if (!options_.log)
        options_.log = [](log_level, std::string_view) {};
    shared_.redis = options_.redis;
    shared_.local = std::make_shared<local_engine>();
    shared_.used_permits = std::make_shared<service::used_permits>();
    shared_.metrics = options_.metrics ? options_.metrics : make_registry(*edition_->config);
}

server::~server() {
    stop();
    wait();
}

void server::start() {
    auto const& config = *edition_->config;
    if (!config.access_log.empty())
        shared_.access_log = std::make_shared<access_log_file>(config.access_log, options_.log);
    auto const made = std::make_shared<edition>(edition_->config);
    made->counters = shared_.metrics->now();
    if (auto const wrong = read_certificates(*made); !wrong.empty())
        throw start_error(wrong.front().pointer + ": " + wrong.front().message);
    resolve_upstreams(*made);
    edition_ = made;
    shared_.connections = connection_limit::of_this_process(worker_count(config));
    for (unsigned i = 0; i < worker_count(config); ++i)
        workers_.push_back(std::make_unique<worker>(edition_, shared_, i, options_.log));
    for (std::size_t i = 0; i < config.listen.size(); ++i)
        endpoints_.push_back(listen(config.listen[i], door::proxy, i));
    if (config.decision)
        decision_endpoint_ = listen(config.decision->address, door::decision, {});
    signals_blocked const blocked;
    for (auto& each : workers_)
        threads_.emplace_back([&each] { each->run(); });
}

tcp::endpoint server::listen(config::endpoint const& wanted, door what, std::optional<std::size_t> index) {
    tcp::endpoint at(asio::ip::make_address(wanted.host), wanted.port);
    asio::io_context io;
    // SO_REUSEPORT would share the port with another weir of the same user without a word. A socket without it finds
    // out whether somebody listens there.
    if (at.port() != 0)
        open_listener(io, at, index, false);
    for (auto& each : workers_) {
        auto acceptor = open_listener(io, at, index, true);
        at = acceptor.local_endpoint();
        each->listen(at.protocol(), acceptor.release(), what, index.value_or(0));
    }
    return at;
}

std::vector<config::issue> server::read_certificates(edition& of) {
    std::vector<config::issue> wrong;
    auto const make = [&](bool wanted, auto const& how, std::string const& where) {
        try {
            return wanted ? std::make_shared<tls_context const>(how) : nullptr;
        } catch (tls_error const& e) {
            wrong.push_back({config::issue::severity::error, where, 0, 0, e.what()});
            return std::shared_ptr<tls_context const>();
        }
    };
    auto const& config = *of.config;
    for (std::size_t i = 0; i < config.listen.size(); ++i) {
        auto const& tls = config.listen[i].tls;
        of.listeners.push_back(
            make(tls.has_value(), tls.value_or(config::server_tls{}), "/listen/" + std::to_string(i) + "/tls"));
    }
    for (auto const& each : config.upstreams)
        of.to_upstreams.push_back(
            make(std::any_of(each.targets.begin(), each.targets.end(), [](config::target const& t) { return t.tls; }),
                 each.tls, "/upstreams/" + each.name + "/tls"));
    return wrong;
}

void server::resolve_upstreams(edition& of) const {
    for (auto const& upstream : of.config->upstreams) {
        auto& lists = of.addresses.emplace_back();
        for (auto const& target : upstream.targets) {
            error_code ec;
            lists.push_back(resolve_now(target, ec));
            if (ec)
                options_.log(log_level::warning, "upstream " + upstream.name + ": cannot resolve " + target.host +
                                                     ": " + ec.message() + ": its requests get 502 until it can be");
        }
    }
}

std::vector<server::upstream_state> server::upstream_states() const {
    std::vector<upstream_state> all;
    auto const now = present();
    auto const& upstreams = now->config->upstreams;
    for (std::size_t i = 0; i < upstreams.size(); ++i)
        if (upstreams[i].health) {
            auto const ill = std::popcount(now->ill[i].load(std::memory_order_relaxed));
            all.push_back({upstreams[i].name, static_cast<std::size_t>(ill) < upstreams[i].targets.size()});
        }
    return all;
}

std::shared_ptr<edition const> server::present() const {
    std::lock_guard const lock(mutex_);
    return edition_;
}

std::vector<config::issue> server::reload(std::shared_ptr<config::config const> to) {
    std::lock_guard const one_at_a_time(reloading_);
    auto const before = present();
    if (auto fixed = config::find_fixed_changes(*before->config, *to); !fixed.empty())
        return fixed;
    auto const made = std::make_shared<edition>(std::move(to));
    if (auto wrong = read_certificates(*made); !wrong.empty())
        return wrong;
    resolve_upstreams(*made);
    take_over_health(*before, *made);
    made->counters = shared_.metrics->change(names_of(*made->config));
    for (std::size_t i = 0; i < made->config->upstreams.size(); ++i)
        made->counters->worker(0).upstreams[i].ill.set(std::popcount(made->ill[i].load(std::memory_order_relaxed)));
    {
        std::lock_guard const lock(mutex_);
        edition_ = made;
    }
    for (auto& each : workers_)
        each->change(made);
    return {};
}

void server::begin_drain(std::chrono::milliseconds deadline) {
    draining_ = true;
    for (auto& each : workers_)
        each->begin_drain(deadline);
}

void server::stop() {
    draining_ = true;
    for (auto& each : workers_)
        each->stop();
}

void server::wait() {
    for (auto& thread : threads_)
        if (thread.joinable())
            thread.join();
}

} // namespace weir::proxy
