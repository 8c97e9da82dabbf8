#pragma once

#include <weir/circuit/permit.hpp>
#include <weir/http/detail/reservation.hpp>
#include <weir/lock/lease.hpp>
#include <weir/rate_limit/decision.hpp>

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace weir::http {

/// One request's way through the filters of a Beast server: what they have to say in its answer, and what the request
/// holds until it has ended.
///
///     weir::http::passage way;
///     if (!co_await limits.async_enter(request, peer, way, asio::use_awaitable) ||
///         !co_await locks.async_enter(request, way, asio::use_awaitable) || !circuit.enter(way))
///         co_return way.refusal(request);
///     auto response = co_await handle(request);
///     way.leave(response);
///     co_return response;
///
/// The filters, and what they were made of, must outlive it. A passage that is destroyed before `leave` or `fail` gives
/// back what it holds, pays what it reserved, and tells the circuit nothing: as where the client has gone.
/// Thread safety: distinct objects: safe; shared objects: unsafe. Only on the thread of the filters.
class passage {
public:
    using request_header = boost::beast::http::request_header<>;
    using response_header = boost::beast::http::response_header<>;
    using text_response = boost::beast::http::response<boost::beast::http::string_body>;

    passage() = default;
    passage(passage&&) = default;
    passage& operator=(passage&&) = default;
    WEIR_DECL ~passage();

    /// Whether a filter refused the request. Then nothing is held any more.
    bool refused() const noexcept { return status_ != 0; }
    /// Of the refusal: 401, 403, 409, 429 or 503; 0 where there is none.
    unsigned status() const noexcept { return status_; }
    /// Why, in a sentence for people.
    std::string const& detail() const noexcept { return detail_; }

    /// The whole answer to a refused request: `application/problem+json` (RFC 9457), with Retry-After and the quota
    /// where there is something to say, with `keep_alive` as the request asks. Precondition: refused().
    WEIR_DECL text_response refusal(request_header const& request, std::string_view request_id = {}) const;

    /// What the limits decided; without rules where none was asked.
    weir::decision const& decision() const noexcept { return decision_; }
    /// The lock that is held; of nothing where none was wanted. Its fence belongs into every write that it guards.
    lock::lease& lease() noexcept { return lease_; }

    /// Says, before the end of the request, what it has used of a cost that is known afterwards (`limit::settled`), in
    /// units; without it what was reserved is paid. May be called again, as more is known.
    WEIR_DECL void used(std::uint64_t units) noexcept;

    /// Adds to the head of the answer what the filters tell the client. Before the head is sent.
    WEIR_DECL void announce(response_header& head) const;

    /// The request was answered with that status, to its last byte: a 5xx is a failure of what the circuit guards.
    /// Gives back what is held. Waits for nothing.
    WEIR_DECL void end(unsigned status) noexcept;

    /// Both, for an answer that is sent at once.
    WEIR_DECL void leave(response_header& head);

    /// The request failed without an answer: the handler threw, or the answer was cut off by the server's fault. What
    /// is held is given back, what was reserved is paid. `why` appears in "why it tripped".
    WEIR_DECL void fail(std::string_view why) noexcept;

private:
    friend class limit_filter;
    friend class lock_filter;
    friend class circuit_filter;

    /// Gives back what earlier filters had, too.
    WEIR_DECL void refuse(unsigned status, std::string detail);
    void give_back() noexcept {
        lease_.release();
        reserved_.reset();
    }

    /// Whole field lines.
    std::string fields_;
    std::string detail_;
    unsigned status_ = 0;
    weir::decision decision_;
    detail::reservation_ptr reserved_;
    circuit::permit leave_;
    lock::lease lease_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/passage.ipp>
#endif
