#pragma once

#include <weir/http/circuit_filter.hpp>

namespace weir::http {

WEIR_DECL void append_retry_after(std::string& fields, circuit::breaker const& of) {
    fields += "Retry-After: " + std::to_string(seconds_to_wait(of).count()) + "\r\n";
}

WEIR_DECL std::string refusal_detail(circuit::breaker const& of) {
    return "the circuit \"" + of.name() + "\" is " + std::string(to_string(of.now())) +
           ": what it guards is not asked for a while";
}

WEIR_DECL bool circuit_filter::enter(passage& way) {
    if (way.refused())
        return false;
    way.leave_ = circuit_.try_acquire();
    if (way.leave_)
        return true;
    append_retry_after(way.fields_, circuit_);
    way.refuse(503, refusal_detail(circuit_));
    return false;
}

} // namespace weir::http
