#pragma once

#include "proxy/balancer.hpp"
#include "proxy/guard.hpp"
#include "proxy/upstream_pool.hpp"

#include <weir/circuit/retry_budget.hpp>
#include <weir/metrics/blocks.hpp>

#include <optional>
#include <vector>

namespace weir::proxy {

/// One worker's side of one upstream. Belongs to the worker's thread.
struct upstream {
    /// All but the addresses must outlive it.
    upstream(asio::io_context& io, poller& sockets, deadline_wheel& wheel, config::upstream const& how,
             std::vector<address_list> addresses, tls_context_ptr tls, std::atomic<target_set> const& ill,
             metrics::upstream_block& block, std::uint64_t seed, std::size_t max_idle)
        : pool(io, sockets, wheel, how, std::move(addresses), std::move(tls), max_idle)
        , balance(how, ill, seed)
        , retries({how.retries.budget})
        , counts(block) {}

    config::upstream const& settings() const noexcept { return pool.settings(); }

    upstream_pool pool;
    balancer balance;
    /// Who gives leave to send a request there, if anybody is asked.
    std::optional<guard> circuit;
    /// The same for each target; none where nobody is asked.
    std::vector<guard> target_circuits;
    circuit::retry_budget retries;
    metrics::upstream_block& counts;
};

} // namespace weir::proxy
