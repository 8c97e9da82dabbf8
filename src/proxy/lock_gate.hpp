#pragma once

#include "config/config.hpp"
#include "proxy/exchange.hpp"
#include "proxy/io.hpp"

#include <weir/http/client_address.hpp>

#include <string>

namespace weir::lock {
class manager;
}

namespace weir::proxy {

/// Has requests take the lock of their route before they are served, and waits for it where the configuration says so.
///
/// The lock is called `NAME/VALUE`, or `NAME` where everybody shares it, so that `weir lock` and programs can take it,
/// too. Belongs to its worker's thread.
class lock_gate {
public:
    /// All arguments must outlive the gate.
    lock_gate(config::config const& config, lock::manager& locks, metrics::worker_block& counts) noexcept
        : config_(config)
        , locks_(locks)
        , counts_(counts) {}
    lock_gate(lock_gate const&) = delete;
    lock_gate& operator=(lock_gate const&) = delete;

    enum class verdict {
        /// It may be served: `x.lock` holds the lock, or it needs none.
        enter,
        /// `x.status` is 400, 409 or 503, and `x.detail` says why.
        refused,
        /// The client has left meanwhile.
        gone,
    };

    /// Precondition: the route of `x` has a lock, and `x.user` says who asks.
    awaitable<verdict> enter(exchange& x, client_stream& client, http::client_address const& who);

private:
    enum class key_found { yes, missing, twice };

    static key_found append_key(std::string& name, config::lock_key const& key, exchange const& x,
                                http::client_address const& who);
    static verdict refuse(exchange& x, unsigned status, std::string detail);
    verdict explain(exchange& x, config::lock const& how, error_code why, bool gone) const;

    config::config const& config_;
    lock::manager& locks_;
    metrics::worker_block& counts_;
};

} // namespace weir::proxy
