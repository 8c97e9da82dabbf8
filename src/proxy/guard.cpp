#include "proxy/guard.hpp"

#include <weir/http/circuit_filter.hpp>

namespace weir::proxy {

void guard::tell(std::string& fields, std::string& detail) const {
    http::append_retry_after(fields, breaker_);
    detail = http::refusal_detail(breaker_);
}

} // namespace weir::proxy
