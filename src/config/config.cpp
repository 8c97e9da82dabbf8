#include "config/config.hpp"

#include <algorithm>

namespace weir::config {

std::optional<std::size_t> config::find_limit(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < limits.size(); ++i)
        if (limits[i].rule.name == name)
            return i;
    return std::nullopt;
}

bool config::needs_redis() const noexcept {
    return !limits.empty() || !locks.empty() || (decision && !circuits.empty()) ||
           std::any_of(upstreams.begin(), upstreams.end(),
                       [](upstream const& u) { return u.circuit || u.target_circuit; }) ||
           std::any_of(routes.begin(), routes.end(), [](route const& r) { return r.idempotency || r.single_flight; });
}

} // namespace weir::config
