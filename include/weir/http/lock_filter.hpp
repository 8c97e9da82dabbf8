#pragma once

#include <weir/http/incoming.hpp>
#include <weir/http/passage.hpp>
#include <weir/lock/manager.hpp>

#include <boost/asio/compose.hpp>
#include <boost/asio/post.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::http {

/// Lets requests that must not run at the same time into a Beast server one after the other: those with the same key,
/// of one session, say, anywhere in the fleet. Who finds it taken is refused with 409, or waits as long as
/// `lock_options::wait` says, in the order of coming. A request without the key is not kept; nor is it safe then: let a
/// key function return something for it, or refuse it before.
///
///     weir::http::lock_filter sessions{locks, "session", by_field("x-session-id"), {.ttl = 5min, .wait = 2s}};
///
/// The lock is `lock:<name>/<key>`, renewed while the passage holds it. The handler passes `passage::lease().fence()`
/// to what it writes to, and stops where `lease::on_lost` says so. While Redis cannot be asked requests are refused
/// with 503: a lock that everybody has is none.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe. Only on the thread of the manager's io_context.
class lock_filter {
public:
    /// `of` must outlive the filter. `trusted` as of `incoming_reader`. Throws std::invalid_argument as
    /// `lock::validate`.
    WEIR_DECL lock_filter(lock::manager& of, std::string name, key_function key, lock::lock_options how,
                          std::vector<network> trusted = {});

    /// Takes the lock of a request that came from `peer`. Completes `void(error_code, bool)`: true, it may pass; false,
    /// it may not, and `way` has the answer. `request` must be valid until the operation is initiated, `way` and the
    /// filter until it completes.
    ///
    /// Error: `errc::cancelled`, with false. Cancellation: terminal, partial and total, at once: cancel it when the
    /// client has gone.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, bool)) Token>
    auto async_enter(boost::beast::http::request_header<> const& request, asio::ip::address const& peer, passage& way,
                     Token&& token) {
        return asio::async_compose<Token, void(error_code, bool)>(
            [this, &way, name = name_of(request, peer, way), begun = false](auto& self, error_code ec = {},
                                                                            lock::lease got = {}) mutable {
                if (begun)
                    return self.complete(ec, conclude(way, ec, std::move(got)));
                begun = true;
                self.reset_cancellation_state(asio::enable_total_cancellation());
                if (!name)
                    return asio::post(locks_.get_executor(), std::move(self));
                locks_.async_lock(*name, options_, std::move(self));
            },
            token, locks_.get_executor());
    }

private:
    WEIR_DECL std::optional<std::string> name_of(boost::beast::http::request_header<> const& request,
                                                 asio::ip::address const& peer, passage& way);
    WEIR_DECL bool conclude(passage& way, error_code& ec, lock::lease got) const;

    lock::manager& locks_;
    std::string const name_;
    key_function const key_;
    lock::lock_options const options_;
    incoming_reader reader_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/lock_filter.ipp>
#endif
