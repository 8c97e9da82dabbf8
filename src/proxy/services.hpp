#pragma once

#include "config/config.hpp"
#include "proxy/access_log.hpp"
#include "proxy/admission.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/circuits.hpp"
#include "proxy/deadline_wheel.hpp"
#include "proxy/exchange.hpp"
#include "proxy/flight_gate.hpp"
#include "proxy/identifier.hpp"
#include "proxy/ids.hpp"
#include "proxy/insight.hpp"
#include "proxy/lock_gate.hpp"
#include "proxy/once_gate.hpp"
#include "proxy/router.hpp"
#include "proxy/upstream.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::service {
class used_permits;
}

namespace weir::proxy {

struct services;
using services_ptr = boost::intrusive_ptr<services>;

/// One configuration and what all workers make of it once. Immutable, so shared by them without more ado.
struct edition {
    /// Throws std::invalid_argument when the path of a route cannot be one.
    explicit edition(std::shared_ptr<config::config const> c)
        : config(std::move(c))
        , routes(config->routes)
        , circuits(*config)
        , ill(new std::atomic<target_set>[config->upstreams.size()] {}) {}

    std::shared_ptr<config::config const> config;
    router routes;
    circuit_plan circuits;
    std::shared_ptr<metrics::counters> counters;
    /// For every upstream, one list a target.
    std::vector<std::vector<address_list>> addresses;
    /// Of each `listen`; null: in the clear.
    std::vector<tls_context_ptr> listeners;
    /// Of each upstream; null where no target wants it.
    std::vector<tls_context_ptr> to_upstreams;
    /// For every upstream, the targets that the health check has found ill.
    std::unique_ptr<std::atomic<target_set>[]> const ill;
};

/// What one worker has for its life, whatever configuration is in effect. Belongs to that worker's thread.
struct worker_parts {
    explicit worker_parts(std::shared_ptr<access_log_file> log_file)
        : log(std::move(log_file)) {}
    worker_parts(worker_parts const&) = delete;
    worker_parts& operator=(worker_parts const&) = delete;

    access_log log;
    deadline_wheel wheel{boot_clock::now()};
    poller sockets;
    buffer_pool blocks{64};
    id_source ids;
    /// The present second as an IMF-fixdate.
    std::string date;
    bool draining = false;
    /// Requests of which Redis has yet to hear that they have ended.
    std::size_t finishing = 0;
    insight known;
    /// What requests that begin now are served with.
    services_ptr now;

    std::unique_ptr<exchange> take_exchange() {
        if (spare_exchanges_.empty())
            return std::make_unique<exchange>();
        auto x = std::move(spare_exchanges_.back());
        spare_exchanges_.pop_back();
        return x;
    }

    void give_back(std::unique_ptr<exchange> x) {
        x->reset();
        if (spare_exchanges_.size() < max_spare_exchanges)
            spare_exchanges_.push_back(std::move(x));
    }

private:
    static constexpr std::size_t max_spare_exchanges = 256;
    std::vector<std::unique_ptr<exchange>> spare_exchanges_;
};

/// What the requests served by one worker under one configuration share. Lives as long as one of them does.
struct services : boost::intrusive_ref_counter<services, boost::sp_adl_block::thread_unsafe_counter> {
    /// `parts` must outlive it; `index` is the worker's.
    services(worker_parts& parts, std::shared_ptr<edition const> e, std::size_t index)
        : whole(std::move(e))
        , config(*whole->config)
        , routes(whole->routes)
        , counts(whole->counters->worker(index))
        , log(parts.log)
        , wheel(parts.wheel)
        , blocks(parts.blocks)
        , ids(parts.ids)
        , date(parts.date)
        , draining(parts.draining)
        , who(config)
        , known(parts.known) {}

    std::shared_ptr<edition const> const whole;
    config::config const& config;
    router const& routes;
    metrics::worker_block& counts;
    access_log& log;
    deadline_wheel& wheel;
    buffer_pool& blocks;
    id_source& ids;
    std::string const& date;
    bool const& draining;
    /// None where no limit is configured.
    std::optional<proxy::admission> admission;
    /// Of the worker; null where nobody can ask for any.
    lock::manager* locks = nullptr;
    /// As many as `whole->circuits.all`, in their order, for programs that ask; none without a decision service.
    std::vector<guard> circuits;
    /// Of all workers.
    std::shared_ptr<service::used_permits> used_permits;
    /// None where no lock is configured.
    std::optional<lock_gate> gate;
    /// None where no route has requests executed once.
    std::optional<once_gate> once;
    /// None where no route shares answers.
    std::optional<flight_gate> flights;
    identifier who;
    insight& known;
    /// As many as `config.upstreams`, in their order.
    std::vector<std::unique_ptr<upstream>> upstreams;

    /// The limits for heads of requests.
    http::limits head_limits() const noexcept {
        return {config.http.max_request_line, config.http.max_head, config.http.max_fields};
    }
};

} // namespace weir::proxy
