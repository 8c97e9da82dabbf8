#include "proxy/guard.hpp"

namespace weir::proxy {

void guard::tell(std::string& fields, std::string& detail) const {
    fields += "Retry-After: " + std::to_string(seconds_to_wait()) + "\r\n";
    detail = "the circuit \"" + breaker_.name() + "\" is " + std::string(to_string(breaker_.now())) +
             ": the upstream is not asked for a while";
}

} // namespace weir::proxy
