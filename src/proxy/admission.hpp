#pragma once

#include "config/config.hpp"
#include "proxy/exchange.hpp"
#include "proxy/ids.hpp"
#include "proxy/insight.hpp"
#include "proxy/io.hpp"

#include <weir/http/client_address.hpp>
#include <weir/metrics/blocks.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <span>
#include <string>
#include <vector>

namespace weir::proxy {

struct services;

/// Decides whether a request may pass: which limits of its route it concerns, one round trip to Redis for all of them,
/// and what the client is told. What it holds meanwhile is renewed, and given back at its end.
///
/// Belongs to its worker's thread.
class admission {
public:
    /// All arguments must outlive the admission.
    admission(config::config const& config, limiter& rules, metrics::worker_block& counts, hot_keys& hot,
              deadline_wheel& wheel, id_source& ids) noexcept
        : config_(config)
        , limiter_(rules)
        , counts_(counts)
        , hot_(hot)
        , wheel_(wheel)
        , ids_(ids) {}
    admission(admission const&) = delete;
    admission& operator=(admission const&) = delete;

    /// Fills `x.decision`, `x.limit_fields` and `x.admission_time`; a route without limits admits at once. False when
    /// the request is refused: then `x.status` is 403, 429 or 503 and `x.detail` says why.
    /// Precondition: `x.route` is a route, `x.target` and `x.request` are complete, `x.user` says who asks.
    /// Where the request is `served` here, the cost that its response will say is reserved, and finish() must follow.
    awaitable<bool> decide(exchange& x, http::client_address const& client, bool served);

    /// The response of a request whose cost it says, as it streams by.
    static void begin_response(exchange& x) noexcept;
    static void take_response(exchange& x, std::string_view piece);

    /// Gives back the places that an admitted request holds, when it has ended, however it did, and charges what was
    /// used instead of what was reserved: what the response said, else the reservation, else nothing where the request
    /// was not `sent` to the upstream. Does not wait for Redis. A request for which it is not called holds its places
    /// until its leases are over, and pays what it reserved.
    void finish(exchange& x, bool sent);

    /// Renews the leases and the reservation of `x`. Precondition: it holds some.
    void renew(exchange& x);

    /// Whose it is: kept alive until Redis has heard of what was given back. `finishing` counts what it has yet to hear
    /// of. Before the first request.
    void belong_to(services& owner, std::size_t& finishing) noexcept {
        owner_ = &owner;
        finishing_ = &finishing;
    }

    /// Counts what was decided in the metrics, and who asked. `limits` are indices into the configuration's, one a rule
    /// of `made` and of `charges`.
    void count(std::span<std::size_t const> limits, std::span<charge const> charges, decision const& made);

    /// The same for units of a cost that is known afterwards.
    void count_cost(std::size_t limit, metrics::cost_kind what, std::uint64_t units) noexcept {
        counts_.rules[limit].cost[what].increment(units);
    }

    limiter& rules() noexcept { return limiter_; }

private:
    key_part user_of(config::limit const& limit, exchange const& x, http::client_address const& client,
                     std::string& composed) const;
    key_part endpoint_of(config::limit const& limit, exchange const& x) const noexcept;
    static std::uint64_t cost_of(config::limit const& limit, exchange const& x) noexcept;
    void hold(exchange& x);
    bool reserve(exchange& x);
    void watch_use(exchange& x);

    config::config const& config_;
    limiter& limiter_;
    metrics::worker_block& counts_;
    hot_keys& hot_;
    deadline_wheel& wheel_;
    id_source& ids_;
    services* owner_ = nullptr;
    std::size_t* finishing_ = nullptr;
};

} // namespace weir::proxy
