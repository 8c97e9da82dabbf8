#pragma once

#include <weir/circuit/breaker.hpp>
#include <weir/http/passage.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace weir::http {

/// How long a client that a circuit refuses should wait; 1 s at least.
inline std::chrono::seconds seconds_to_wait(circuit::breaker const& of) noexcept {
    return std::max(std::chrono::seconds{1}, std::chrono::ceil<std::chrono::seconds>(of.retry_after()));
}
/// The same as a field line, Retry-After.
WEIR_DECL void append_retry_after(std::string& fields, circuit::breaker const& of);
/// Why, in a sentence without a full stop.
WEIR_DECL std::string refusal_detail(circuit::breaker const& of);

/// Keeps requests from a handler whose work keeps failing, in a Beast server: refuses with 503 and Retry-After while
/// its circuit is open, and tells the circuit how the others ended. Asks no Redis on the way.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe. Only on the thread of the circuit's registry.
class circuit_filter {
public:
    explicit circuit_filter(circuit::breaker of)
        : circuit_(std::move(of)) {}

    /// Whether the request may pass; else `way` has the refusal. The last filter to enter, so that what others refuse
    /// takes no probe of a half-open circuit.
    WEIR_DECL bool enter(passage& way);

private:
    circuit::breaker circuit_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/circuit_filter.ipp>
#endif
