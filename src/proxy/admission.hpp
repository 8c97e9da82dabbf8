#pragma once

#include "config/config.hpp"
#include "proxy/exchange.hpp"
#include "proxy/io.hpp"

#include <weir/http/client_address.hpp>
#include <weir/metrics/blocks.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <span>
#include <string>
#include <vector>

namespace weir::proxy {

/// Decides whether a request may pass: who asks, which limits of its route that concerns, one round trip to Redis for
/// all of them, and what the client is told. What it holds meanwhile is renewed, and given back at its end.
///
/// Belongs to its worker's thread.
class admission {
public:
    /// All arguments must outlive the admission.
    admission(config::config const& config, limiter& rules, metrics::worker_block& counts,
              deadline_wheel& wheel) noexcept
        : config_(config)
        , limiter_(rules)
        , counts_(counts)
        , wheel_(wheel) {}
    admission(admission const&) = delete;
    admission& operator=(admission const&) = delete;

    /// Fills `x.decision`, `x.limit_fields` and `x.admission_time`; a route without limits admits at once. False when
    /// the request is refused: then `x.status` is 403, 429 or 503 and `x.detail` says why.
    /// Precondition: `x.route` is a route, `x.target` and `x.request` are complete.
    awaitable<bool> decide(exchange& x, http::client_address const& client);

    /// Gives back the places that an admitted request holds, when it has ended, however it did. Does not wait for
    /// Redis. A request for which it is not called holds them until its leases are over.
    void finish(exchange& x);

    /// Renews the leases of `x`. Precondition: it holds places.
    void renew(exchange& x);

    /// Whether Redis has yet to hear of places that were given back.
    bool finishing() const noexcept { return finishing_ != 0; }

    /// Counts what was decided in the metrics. `limits` are indices into the configuration's, one a rule of `made`.
    void count(std::span<std::size_t const> limits, decision const& made) noexcept;

    limiter& rules() noexcept { return limiter_; }

private:
    std::string_view identify(exchange const& x, http::client_address const& client) const noexcept;
    key_part user_of(config::limit const& limit, exchange const& x, http::client_address const& client,
                     std::string& composed) const;
    key_part endpoint_of(config::limit const& limit, exchange const& x) const noexcept;
    static std::uint64_t cost_of(config::limit const& limit, exchange const& x) noexcept;
    void tell(exchange& x) const;
    void explain(exchange& x) const;
    void hold(exchange& x);

    config::config const& config_;
    limiter& limiter_;
    metrics::worker_block& counts_;
    deadline_wheel& wheel_;
    std::size_t finishing_ = 0;
};

} // namespace weir::proxy
