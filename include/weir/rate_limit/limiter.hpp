#pragma once

#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/check_batch.hpp>
#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/decision.hpp>
#include <weir/rate_limit/denial_cache.hpp>
#include <weir/rate_limit/local_engine.hpp>
#include <weir/rate_limit/outage_gate.hpp>
#include <weir/rate_limit/permit_stock.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/subscriber.hpp>

#include <boost/asio/any_completion_handler.hpp>
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
    /// Checks begun in the same turn of the loop share calls of the script, in the order in which they were begun,
    /// which costs Redis half as much each. Not on a Redis Cluster, where few keys share a slot.
    bool batching = true;
    /// While such a call is on its way to a server that has lately replied within this time, up to 31 more checks wait
    /// for its reply, to share the next one: fewer calls under load, and a wait as short as this where there is little.
    /// Their deadline is the client's default from their beginning on, or up to 1/32 of it less. 0: none waits.
    std::chrono::microseconds gather_within{250};
    /// For how many keys a refusal is remembered and said again, without asking Redis, until it is over or for a second
    /// (`outcome::deny_local`); 0: none. What is given back by `async_reset` and `async_refund`, by anybody, ends that
    /// at once, for which the limiter listens to a channel on a connection of its own, and keeps `io_context::run` from
    /// returning as long as it lives. Rules with a penalty and of `concurrency` are always asked.
    std::size_t remembered_refusals = 0;
    /// How often this process tells Redis that it is alive, and learns by how many the limits are divided while Redis
    /// is away; 0: never, and `local` says by how many. Keeps `io_context::run` from returning as long as the limiter
    /// lives.
    std::chrono::milliseconds heartbeat{0};
};

/// A request that is more than one question and answer: decided once, extended, settled.
struct request_options {
    /// Names the request, with the user and endpoint of its first charge: any text, one of its own for every request.
    /// Empty: none; a check with a rule of `concurrency` then makes one, and tells it in its decision.
    std::string_view request_id;
    /// How long the request can be repeated, extended and settled: from its admission, its last extension, or its
    /// settlement. Then what it has reserved stays charged. At least as long as the lease of a `concurrency` rule is
    /// taken. 1 ms to `max_window`.
    std::chrono::milliseconds keep{std::chrono::minutes{5}};
    /// How long to wait for room rather than be refused, `max_window` at most; 0: as long as every rule that refuses
    /// says (`rule::max_wait`). Whoever waits has a place, in the order of asking, before all who ask later, and the
    /// operation completes when its time has come. No longer than the shortest window among the rules; not with a rule
    /// of `concurrency` and not while Redis is away: there it is refused at once.
    ///
    /// Where the keys lie in several slots of a Redis Cluster it has a place in each, and passes when the last of them
    /// has come; where one would come too late, or cannot be had, all are given back, and it is refused. So it is, too,
    /// where others keep taking places before it, in another order on each node.
    std::chrono::milliseconds max_wait{0};
};

namespace detail {

class limiter_state;
class place_wait;

/// One check under way. Recycled by its limiter.
struct pending_check {
    check_request request;
    redis::command command;
    check_reply reply;
    check_request::form form;
    decision* result = nullptr;
    settlement* settled = nullptr;
    /// Whom to tell, where it shares a call; none any more where it was cancelled meanwhile.
    asio::any_completion_handler<void(error_code)> handler;
    /// Tells this use of it from the next.
    std::uint64_t ticket = 0;
    /// Since when it waits for the reply to another call; 0: not at all.
    std::chrono::microseconds held_since{0};
    /// When it was about to be sent.
    std::chrono::microseconds sent{0};
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
        return start(check_order::decide, charges, {}, &result, nullptr, std::forward<Token>(token));
    }

    /// Decides without asking Redis, where that is possible at once: by lists, a refusal that is remembered, units held
    /// ahead (`rule::lease`), or, while Redis is away, as the rules say. Otherwise returns false, charges nothing and
    /// leaves `result` unspecified: `async_check` decides. Errors of the charges are left to that, too.
    bool try_check(std::span<charge const> charges, decision& result);

    /// As above, for a request with an id: asked again within `options.keep`, a request that was admitted gets the same
    /// answer and is not charged again, so that it may be repeated after any failure. (One that was refused is decided
    /// anew.) What it charges is a reservation that `async_extend` and `async_settle` go on with.
    ///
    /// With `options.max_wait`, or rules that say it, it completes when the request has room, or at once with a refusal
    /// where that would take longer; cancelled while it waits, it gives its place up.
    ///
    /// A place is the request id's: whoever asks under the id while it is waited for, in whatever process, waits for
    /// the same place, for what is left of it, or is refused for as long where he does not want to wait so long;
    /// afterwards he passes at once. Where several wait by one id, one who cancels leaves the place to the others; the
    /// last gives it back, and the id is forgotten and may ask again. After somebody has passed by it nobody gives it
    /// back any more. A caller that dies, or whose reply is lost, still counts as one who waits: the place then stays
    /// charged.
    ///
    /// Fails moreover with `errc::request_id_reused` where the id stands for other rules or costs.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_check(std::span<charge const> charges, request_options const& options, decision& result, Token&& token) {
        auto const order = options.request_id.empty() ? check_order::decide : check_order::once;
        return start(order, charges, options, &result, nullptr, std::forward<Token>(token));
    }

    /// Charges more to an admitted request, all or nothing, keeps it for `options.keep` from now, and gives it new
    /// leases in its rules of `concurrency`. `charges` are those of its check with, as costs, the units to add; 0 adds
    /// none. (On a Redis Cluster each node decides apart: what one admitted stays charged where another refused.)
    ///
    /// Fails moreover with `errc::unknown_request` where it has no record (any more): stop the work, or ask anew; and
    /// with `errc::already_settled`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_extend(std::span<charge const> charges, request_options const& options, decision& result,
                      Token&& token) {
        return start(check_order::extend, charges, options, &result, nullptr, std::forward<Token>(token));
    }

    /// Ends an admitted request: charges what was used instead of what was reserved, and ends its leases. `charges` are
    /// those of its check with, as costs, the units used, or `as_reserved`. What was used beyond the reservation is
    /// charged whether there is room or not, so that later requests wait for it; what was not used is given back,
    /// unless its window is over. Once: settled again, it answers the same and changes nothing, so that it may be
    /// repeated after any failure.
    ///
    /// Completes `void(error_code)` with the Redis client's errors, `errc::unknown_request` where it has no record (any
    /// more) and what was reserved stays charged, `errc::invalid_argument`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_settle(std::span<charge const> charges, request_options const& options, settlement& result,
                      Token&& token) {
        return start(check_order::settle, charges, options, nullptr, &result, std::forward<Token>(token));
    }

    /// Takes back the newest units that still count, as many as the costs say, of each charge's rule: for work that
    /// turned out not to have been done. Never more than was charged; the time to live of the state stays as it is.
    /// Completes `void(error_code, std::uint64_t taken)`; the error is the Redis client's, or `errc::invalid_argument`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, std::uint64_t)) Token>
    auto async_refund(std::span<charge const> charges, Token&& token) {
        return asio::async_initiate<Token, void(error_code, std::uint64_t)>(
            [state = state_](auto&& handler, std::span<charge const> what) {
                refund(state, what, std::forward<decltype(handler)>(handler));
            },
            token, charges);
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
                initiate(state, check_order::decide, charges, {}, &result, nullptr,
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

    using executor_type = asio::io_context::executor_type;
    executor_type get_executor() const noexcept;

    std::vector<rule> const& rules() const noexcept;

    /// Whether Redis is taken to be away, so that decisions are made without it.
    bool redis_away() const noexcept;

    /// What rules with a `lease` have charged ahead so far, how much of it was used and how much given back: the rest
    /// is held, or was lost and stays charged until its window is over.
    permit_stock::figures const& charged_ahead() const noexcept;

private:
    template <class Token>
    auto start(check_order order, std::span<charge const> charges, request_options const& options, decision* result,
               settlement* settled, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [state = state_](auto&& handler, check_order what, std::span<charge const> asked, request_options how,
                             decision* said, settlement* became) {
                initiate(state, what, asked, how, said, became, std::forward<decltype(handler)>(handler));
            },
            token, order, charges, options, result, settled);
    }
    template <class Handler>
    static void initiate(std::shared_ptr<detail::limiter_state> const& state, check_order order,
                         std::span<charge const> charges, request_options const& options, decision* result,
                         settlement* settled, Handler&& handler);
    template <class Handler>
    static void refund(std::shared_ptr<detail::limiter_state> const& state, std::span<charge const> charges,
                       Handler&& handler);
    template <class Handler>
    static void reset(std::shared_ptr<detail::limiter_state> const& state, key_part user, key_part endpoint,
                      Handler&& handler);
    friend class detail::place_wait;
    template <class Handler>
    static void start_order(std::shared_ptr<detail::limiter_state> const& state, check_order order,
                            std::span<charge const> charges, request_options const& options, decision* result,
                            settlement* settled, Handler&& handler);
    WEIR_DECL static std::vector<charge> charges_of(detail::limiter_state const& state, key_part user,
                                                    key_part endpoint, std::uint64_t cost);

    std::shared_ptr<detail::limiter_state> state_;
};

} // namespace weir

#include <weir/rate_limit/impl/limiter.hpp>
#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/limiter.ipp>
#include <weir/rate_limit/impl/limiter_calls.ipp>
#include <weir/rate_limit/impl/limiter_local.ipp>
#include <weir/rate_limit/impl/limiter_outage.ipp>
#include <weir/rate_limit/impl/place_wait.ipp>
#endif
