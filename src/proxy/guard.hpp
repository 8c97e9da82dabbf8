#pragma once

#include <weir/circuit/breaker.hpp>
#include <weir/metrics/blocks.hpp>

#include <utility>

namespace weir::proxy {

/// A circuit as one worker has it: its breaker, and where is counted what that refuses. Belongs to the worker's thread.
class guard {
public:
    guard(circuit::breaker breaker, metrics::circuit_block& counts)
        : breaker_(std::move(breaker))
        , counts_(&counts) {}

    circuit::breaker& breaker() noexcept { return breaker_; }

    /// Whether a refusal is to be had at once: else leave may take a trip to Redis, which lends the probes.
    bool decides_at_once() const {
        return breaker_.now() != circuit::state::half_open &&
               (breaker_.now() != circuit::state::open || breaker_.retry_after().count() > 0);
    }

    void count_refusal() noexcept { counts_->refused.increment(); }

    /// Says to a client that it was refused: appends Retry-After to `fields`, and sets `detail`.
    void tell(std::string& fields, std::string& detail) const;

private:
    circuit::breaker breaker_;
    metrics::circuit_block* counts_;
};

} // namespace weir::proxy
