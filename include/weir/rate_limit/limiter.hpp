#pragma once

#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/decision.hpp>
#include <weir/rate_limit/local_engine.hpp>
#include <weir/rate_limit/outage_gate.hpp>
#include <weir/redis/client.hpp>

#include <boost/asio/associator.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace weir {

struct limiter_options {
    /// Goes before every key.
    std::string key_prefix;
    /// Decides while Redis is away, for rules that say `on_redis_failure::local`; none: the limiter makes one of its
    /// own. Share one engine among all limiters of a process.
    std::shared_ptr<local_engine> local;
    /// How often Redis is probed while it is away.
    std::chrono::milliseconds probe_interval{100};
};

namespace detail {

class limiter_state;

/// One check under way. Recycled by its limiter.
struct pending_check {
    check_request request;
    redis::command command;
    check_reply reply;
    decision* result = nullptr;
};

/// Gives a check back to its limiter and tells the caller.
template <class Handler>
struct check_handler {
    std::shared_ptr<limiter_state> state;
    pending_check* check;
    Handler handler;

    void operator()(error_code ec);
};

/// Carries the decision of a caller that brought no memory for it.
template <class Handler>
struct decision_handler {
    std::unique_ptr<decision> result;
    Handler handler;

    void operator()(error_code ec) { std::move(handler)(ec, std::move(*result)); }
};

} // namespace detail

/// Decides whether requests pass, by rules whose counts live in Redis: all rules of one request together, all or
/// nothing, in one round trip. On a Redis Cluster rules whose keys lie on different nodes are asked at the same time,
/// and what was charged is taken back where another refused; if that fails too, it counts until its window is over.
/// While Redis is away each rule decides as its `on_redis_failure` says, at once.
///
///     weir::limiter limiter{redis, weir::rule{.name = "per-user", .limit = 100, .window = 1min}};
///     weir::decision d = co_await limiter.async_check("alice", "/v1/chat", 1, asio::use_awaitable);
///     if (!d.allowed) ...
///
/// Checks in flight keep what they need alive; rules named by a charge must outlive its check, and the client must
/// outlive the limiter and its checks. Thread safety: distinct objects: safe; shared objects: unsafe, and only on the
/// thread that runs the client's io_context.
class limiter {
public:
    /// Decides by the charges given to each check alone.
    explicit limiter(redis::client& client, limiter_options options = {})
        : limiter(client, std::vector<rule>{}, std::move(options)) {}
    limiter(redis::client& client, rule one, limiter_options options = {})
        : limiter(client, std::vector<rule>{std::move(one)}, std::move(options)) {}
    /// `rules` are those of `async_check(user, endpoint, ...)`: at most `max_rules_per_check`, each of another name.
    WEIR_DECL limiter(redis::client& client, std::vector<rule> rules, limiter_options options = {});
    limiter(limiter&&) = default;
    limiter& operator=(limiter&&) = delete;
    /// Stops probing; checks in flight complete.
    WEIR_DECL ~limiter();

    /// Asks all charges together; the answer is in `result` when the operation completes, `void(error_code)`.
    ///
    /// `charges` and their texts must be valid until the operation is initiated, `result` until it completes. While
    /// Redis is away the operation still succeeds, and `result.error` says why Redis did not decide. It fails with
    /// `errc::invalid_argument` where a charge is out of range, and with `errc::cancelled` (the request may have been
    /// charged) or `errc::cancelled_unsent` (it was not) where the caller cancelled; nothing is then allowed.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_check(std::span<charge const> charges, decision& result, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [state = state_](auto&& handler, std::span<charge const> asked, decision* out) {
                initiate(state, asked, *out, std::forward<decltype(handler)>(handler));
            },
            token, charges, &result);
    }

    /// Asks the limiter's own rules for `user` and `endpoint`, and charges `cost` units to each; 0 asks without
    /// charging. Completes `void(error_code, decision)`; errors as above. The texts must be valid until the operation
    /// is initiated.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, decision)) Token>
    auto async_check(key_part user, key_part endpoint, std::uint64_t cost, Token&& token) {
        return asio::async_initiate<Token, void(error_code, decision)>(
            [state = state_](auto&& handler, key_part who, key_part what, std::uint64_t units) {
                auto const charges = charges_of(*state, who, what, units);
                auto memory = std::make_unique<decision>();
                auto& result = *memory;
                using handler_type = std::decay_t<decltype(handler)>;
                initiate(state, charges, result,
                         detail::decision_handler<handler_type>{std::move(memory),
                                                                std::forward<decltype(handler)>(handler)});
            },
            token, user, endpoint, cost);
    }

    /// Asks the limiter's own rules what `async_check` of one unit would be told, and charges nothing.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, decision)) Token>
    auto async_peek(key_part user, key_part endpoint, Token&& token) {
        return async_check(user, endpoint, 0, std::forward<Token>(token));
    }

    /// Forgets what the limiter's own rules, or without rules everything, has counted for `user` and `endpoint`, in
    /// Redis and in this process. Completes `void(error_code, std::uint64_t forgotten)`, the number of rules (of keys,
    /// without rules) that had counted something; the error is the Redis client's.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, std::uint64_t)) Token>
    auto async_reset(key_part user, key_part endpoint, Token&& token) {
        return asio::async_initiate<Token, void(error_code, std::uint64_t)>(
            [state = state_](auto&& handler, key_part who, key_part what) {
                reset(state, who, what, std::forward<decltype(handler)>(handler));
            },
            token, user, endpoint);
    }

    std::vector<rule> const& rules() const noexcept;

    /// Whether Redis is taken to be away, so that decisions are made without it.
    bool redis_away() const noexcept;

private:
    template <class Handler>
    static void initiate(std::shared_ptr<detail::limiter_state> const& state, std::span<charge const> charges,
                         decision& result, Handler&& handler);
    template <class Handler>
    static void reset(std::shared_ptr<detail::limiter_state> const& state, key_part user, key_part endpoint,
                      Handler&& handler);
    WEIR_DECL static std::vector<charge> charges_of(detail::limiter_state const& state, key_part user,
                                                    key_part endpoint, std::uint64_t cost);

    std::shared_ptr<detail::limiter_state> state_;
};

} // namespace weir

#include <weir/rate_limit/impl/limiter.hpp>
#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/limiter.ipp>
#endif
