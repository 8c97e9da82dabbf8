#pragma once

#include "config/config.hpp"
#include "proxy/exchange.hpp"

#include <weir/http/client_address.hpp>
#include <weir/http/verified_cache.hpp>

#include <string_view>
#include <vector>

namespace weir::proxy {

/// Finds who asks, by the sources of the configuration in their order: the first that finds somebody wins. What cannot
/// be verified finds nobody, and makes no user of its own: whoever invents keys or tokens is known by address.
///
/// Belongs to its worker's thread.
class identifier {
public:
    /// The configuration must outlive the object.
    explicit identifier(config::config const& config);

    /// Whether identify() may refuse, so that it must be asked for requests without limits too.
    bool required() const noexcept { return required_; }

    /// Sets `x.user` and `x.attributes`. False when a source is required and nobody was found: then `x.status` is 401,
    /// `x.detail` says why, and `x.limit_fields` holds the challenges.
    bool identify(exchange& x, http::client_address const& client);

private:
    /// Verified tokens that are remembered, of each source and worker.
    static constexpr std::size_t remembered = 8192;

    bool find_by_key(config::identity_source const& source, exchange& x);
    bool find_by_token(config::identity_source const& source, http::verified_cache& known, exchange& x);
    void refuse(exchange& x) const;

    config::config const& config_;
    /// One a source: what one accepted means nothing to another.
    std::vector<http::verified_cache> tokens_;
    bool required_ = false;
    /// Why the last credential that was there proved nothing; static storage.
    std::string_view why_;
};

} // namespace weir::proxy
