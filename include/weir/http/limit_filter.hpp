#pragma once

#include <weir/http/incoming.hpp>
#include <weir/http/passage.hpp>
#include <weir/http/rate_limit_fields.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <boost/asio/compose.hpp>
#include <boost/asio/post.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace weir::http {

/// Limits the requests to a Beast server: which rules a request is asked, for whom and for what, in one round trip to
/// Redis (or none, as the limiter can), and what the answer tells the client.
///
///     weir::http::limit_filter limits{limiter};
///     limits.add({.rule = {.name = "per-client", .limit = 100, .window = 1min}});
///     limits.add({.rule = {.name = "per-path", .limit = 1000, .window = 1s}, .user = together, .endpoint = by_path});
///
/// All limits of a filter decide together, all or nothing. Refusals: 400 where the target has no canonical form, 403
/// where a deny list has the user, 429 with Retry-After and RateLimit fields, 503 where Redis is away and the rule says
/// so. A server that verifies users (keys, sessions) before its filters says who they are by a function of its own.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe. Only on the thread of the limiter's io_context.
class limit_filter {
public:
    struct limit {
        weir::rule rule;
        /// Whose units they are, and of what; none: of all together.
        key_function user = by_address;
        key_function endpoint = together;
        /// Units of a request, taken as 1 to `max_cost`; empty: 1.
        std::function<std::uint64_t(incoming const&)> cost = {};
        /// The cost is known when the request ends: `cost` is reserved, and `passage::used` says what is paid.
        bool settled = false;
    };

    struct options {
        /// Networks of the proxies in front that are believed about who asks.
        std::vector<network> trusted = {};
        rate_limit_style style = rate_limit_style::draft11;
        /// How long a reservation lives on when this process has died; as `request_options::keep`.
        std::chrono::milliseconds keep = std::chrono::seconds{90};
    };

    /// `of` must outlive the filter and its passages.
    limit_filter(limiter& of, options how)
        : limiter_(of)
        , reader_(std::move(how.trusted))
        , style_(how.style)
        , keep_(how.keep) {}
    explicit limit_filter(limiter& of)
        : limit_filter(of, options{}) {}
    limit_filter(limit_filter const&) = delete;
    limit_filter& operator=(limit_filter const&) = delete;

    /// Before the first request. Throws std::invalid_argument where the rule is none, its name is taken, or there are
    /// `max_rules_per_check` already.
    WEIR_DECL void add(limit one);

    /// Decides whether a request that came from `peer` may pass. Completes `void(error_code, bool)`: true, it may;
    /// false, it may not, and `way` has the answer. `request` must be valid until the operation is initiated, `way` and
    /// the filter until it completes.
    ///
    /// Errors: `errc::cancelled`, `errc::cancelled_unsent`, with false; the request may have been charged.
    /// Cancellation: terminal, partial and total, at once.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, bool)) Token>
    auto async_enter(boost::beast::http::request_header<> const& request, asio::ip::address const& peer, passage& way,
                     Token&& token) {
        return asio::async_compose<Token, void(error_code, bool)>(
            [this, &way, asked = plan(request, peer, way), begun = false](auto& self, error_code ec = {}) mutable {
                if (begun)
                    return self.complete(ec, conclude(std::move(asked), way, ec));
                begun = true;
                self.reset_cancellation_state(asio::enable_total_cancellation());
                if (asked.empty())
                    return asio::post(limiter_.get_executor(), std::move(self));
                auto const charges = detail::charges_of(asked);
                auto const how = options_of(asked);
                limiter_.async_check(charges, how, way.decision_, std::move(self));
            },
            token, limiter_.get_executor());
    }

private:
    using owned_charges = std::vector<detail::owned_charge>;

    /// Nothing where the request is refused already, or there are no limits.
    WEIR_DECL owned_charges plan(boost::beast::http::request_header<> const& request, asio::ip::address const& peer,
                                 passage& way);
    WEIR_DECL request_options options_of(owned_charges const& asked);
    WEIR_DECL bool conclude(owned_charges&& asked, passage& way, error_code ec);

    limiter& limiter_;
    incoming_reader reader_;
    rate_limit_style const style_;
    std::chrono::milliseconds const keep_;
    std::deque<limit> limits_;
    /// Of the request whose check begins.
    std::string id_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/limit_filter.ipp>
#endif
