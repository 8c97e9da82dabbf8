#include "config/fixed_changes.hpp"

#include <algorithm>

namespace weir::config {

std::vector<issue> find_fixed_changes(config const& from, config const& to) {
    std::vector<issue> all;
    auto const demand = [&](bool same, char const* pointer, char const* what = "") {
        if (!same)
            all.push_back({issue::severity::error, pointer, 0, 0,
                           std::string(what) + "cannot be changed in a running server: restart it"});
    };
    auto const same_place = [](endpoint const& a, endpoint const& b) { return a.host == b.host && a.port == b.port; };
    demand(std::equal(from.listen.begin(), from.listen.end(), to.listen.begin(), to.listen.end(), same_place),
           "/listen");
    demand(same_place(from.admin, to.admin), "/admin/address");
    demand(from.admin_token == to.admin_token, "/admin/token");
    demand(from.decision.has_value() == to.decision.has_value() &&
               (!from.decision || same_place(from.decision->address, to.decision->address)),
           "/decision/address");
    demand(from.workers == to.workers, "/workers");
    demand(from.redis == to.redis, "/redis");
    demand(from.access_log == to.access_log, "/access_log");
    demand(from.needs_redis() || !to.needs_redis(),
           !to.limits.empty()  ? "/limits"
           : !to.locks.empty() ? "/locks"
                               : "/circuits",
           "the first that is kept in Redis, which was not looked for at the start: ");
    return all;
}

} // namespace weir::config
