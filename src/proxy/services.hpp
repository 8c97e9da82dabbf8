#pragma once

#include "config/config.hpp"
#include "proxy/access_log.hpp"
#include "proxy/admission.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/deadline_wheel.hpp"
#include "proxy/exchange.hpp"
#include "proxy/ids.hpp"
#include "proxy/router.hpp"
#include "proxy/upstream_pool.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::proxy {

/// What the connections of one worker share. All of it belongs to that worker's thread; the configuration and the
/// routes are immutable and shared by all workers.
struct services {
    services(config::config const& c, router const& r, metrics::worker_block& block,
             std::shared_ptr<access_log_file> log_file)
        : config(c)
        , routes(r)
        , counts(block)
        , log(std::move(log_file)) {}

    config::config const& config;
    router const& routes;
    metrics::worker_block& counts;
    access_log log;
    /// None where no limit is configured.
    std::optional<proxy::admission> admission;
    deadline_wheel wheel{boot_clock::now()};
    buffer_pool blocks{64};
    /// As many as `config.upstreams`, in their order.
    std::vector<std::unique_ptr<upstream_pool>> upstreams;
    id_source ids;
    /// The present second as an IMF-fixdate.
    std::string date;
    bool draining = false;

    /// The limits for heads of requests.
    http::limits head_limits() const noexcept {
        return {config.http.max_request_line, config.http.max_head, config.http.max_fields};
    }

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

} // namespace weir::proxy
