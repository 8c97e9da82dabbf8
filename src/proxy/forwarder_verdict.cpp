#include "proxy/forwarder.hpp"

// What the circuit of the upstream is told of a request.
namespace weir::proxy {
namespace {

/// What an answer says of who gave it.
circuit::outcome outcome_of(unsigned status) noexcept {
    return status >= 500 ? circuit::outcome::failure : circuit::outcome::success;
}

/// For "why it tripped".
std::string_view text_of(unsigned status) noexcept {
    switch (status) {
    case 500:
        return "answered 500";
    case 502:
        return "answered 502";
    case 503:
        return "answered 503";
    case 504:
        return "answered 504";
    default:
        return "answered 5xx";
    }
}

} // namespace

void forwarder::judge_head() {
    auto const status = x_.response.status;
    x_.leave.answered(services_.wheel, outcome_of(status), x_.first_byte - x_.forwarded, text_of(status));
}

void forwarder::judge(forward_outcome const& how) {
    if (!x_.leave.held())
        return;
    using circuit::outcome;
    auto const now = boot_clock::now();
    // Of a request that was never answered, the time it took says nothing that its failure does not.
    auto const took = x_.first_byte != boot_clock::time_point{} ? x_.first_byte - x_.forwarded : boot_clock::duration{};
    if (how.what == result::done)
        return x_.leave.end(outcome_of(x_.status), took, now, text_of(x_.status));
    // Without a kind it was the client who left, or was refused.
    auto what = how.kind ? outcome::failure : outcome::ignored;
    if (how.kind == metrics::upstream_error::resolve || how.own_side)
        what = outcome::local_failure;
    x_.leave.end(what, took, now, how.reason);
}

} // namespace weir::proxy
