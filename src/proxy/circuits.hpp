#pragma once

#include "config/config.hpp"
#include "proxy/guard.hpp"
#include "proxy/log.hpp"

#include <weir/circuit/registry.hpp>
#include <weir/metrics/blocks.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::proxy {

/// The circuits that a configuration asks for: one for each upstream that names one, upstreams that name the same
/// sharing it; one for each target where that is asked for, called `NAME@HOST:PORT`; and, where there is a decision
/// service, those that no upstream has, for its programs. Their order is that of `metrics::names::circuits`.
struct circuit_plan {
    struct entry {
        std::string name;
        circuit::settings how;
    };

    explicit circuit_plan(config::config const& config);

    /// Index into `all`.
    std::optional<std::size_t> find(std::string_view name) const noexcept;

    std::vector<entry> all;
    /// Index into `all`; one an upstream.
    std::vector<std::optional<std::size_t>> of_upstream;
    /// The same for each target of an upstream; none where targets have no circuits.
    std::vector<std::vector<std::size_t>> of_targets;

private:
    std::size_t add(std::string name, circuit::settings const& how);
};

/// One worker's circuits, an instance of the fleet's of its own: what it sees, it reports; what the fleet decides, it
/// learns by push. Belongs to the worker's thread.
class circuits {
public:
    /// `redis` and `news` must outlive the object, as must the log. With `tells`, what becomes of the fleet's circuits
    /// is logged here, too.
    circuits(redis::client& redis, redis::subscriber& news, std::string key_prefix, metrics::worker_block& counts,
             log_function const& log, bool tells);
    circuits(circuits const&) = delete;
    circuits& operator=(circuits const&) = delete;
    ~circuits() = default;

    /// Another plan is in effect: circuits that it does not have, or has with other settings, are no longer the fleet's
    /// for those that still hold them. `counts` must outlive the plan.
    void change(circuit_plan const& to, metrics::worker_block& counts);

    /// Circuit number `index` of the plan.
    guard get(circuit_plan const& plan, std::size_t index, metrics::worker_block& counts);

private:
    void heard(circuit::breaker const& which, circuit::change const& what);

    log_function const& log_;
    bool const tells_;
    std::map<std::string, metrics::circuit_block*, std::less<>> counts_;
    circuit::registry registry_;
    circuit::listening listening_;
};

} // namespace weir::proxy
