#pragma once

#include <weir/clock.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>

#include <deque>
#include <optional>

namespace weir {
namespace detail {

inline std::chrono::microseconds boot_microseconds() noexcept {
    return std::chrono::duration_cast<std::chrono::microseconds>(boot_clock::now().time_since_epoch());
}

/// What the rule has left that has least.
inline std::uint64_t least_remaining(decision const& d) noexcept {
    std::uint64_t least = max_limit;
    for (auto const& one : d.rules)
        if (one.asked)
            least = std::min(least, one.remaining);
    return least;
}

/// One call of a check that needs several: the rules whose keys lie in one slot.
struct split_part {
    std::uint16_t slot = 0;
    redis::command command;
    check_reply reply;
    error_code result;
    asio::cancellation_signal cancel;
};

/// Several checks in one call. Recycled by its limiter.
struct shared_call {
    std::vector<pending_check*> checks;
    check_batch batch;
    redis::command command;
    check_batch::reply_type reply;
};

/// What a limiter shares with its checks in flight.
class limiter_state final : public std::enable_shared_from_this<limiter_state>, private redis::listener {
public:
    WEIR_DECL limiter_state(redis::client& client, std::vector<rule> rules, limiter_options options);

    redis::client& client() noexcept { return client_; }
    asio::io_context::executor_type get_executor() const { return client_.get_executor(); }
    std::vector<rule> const& rules() const noexcept { return rules_; }
    bool redis_away() const noexcept { return gate_.open(); }

    /// Takes a check out of the pool and prepares it. Then either it is for Redis, and `check` is set, or the answer
    /// is ready, and the returned code completes the operation.
    struct beginning {
        pending_check* check;
        error_code answered;
        /// Its keys lie on different nodes: one call a slot.
        bool split = false;
    };
    WEIR_DECL beginning begin(check_order order, std::span<charge const> charges, request_options const& options,
                              decision* result, settlement* settled);

    /// Whether the answer could be had without Redis.
    WEIR_DECL bool decide_at_once(std::span<charge const> charges, decision& result);

    permit_stock::figures const& charged_ahead() const noexcept { return stock_.so_far(); }

    /// Begins what goes on by itself: listening, heartbeats.
    WEIR_DECL void start();

    /// Whether a check waits for others, to share their call.
    bool shares_call(pending_check const& check) const noexcept {
        return options_.batching && layout_ == key_layout::standalone && check.form.order == check_order::decide;
    }
    /// Lets it wait.
    WEIR_DECL void enqueue(pending_check* check, asio::any_completion_handler<void(error_code)>&& handler);
    /// Sends those that wait; before any other command, so that the order of a key is kept.
    WEIR_DECL void flush();

    /// Takes what Redis said, or failed to say, and returns the check to the pool; the returned code completes the
    /// operation.
    WEIR_DECL error_code finish(pending_check* check, error_code ec);

    /// The calls of a check that is split, and what they said when all are completed.
    WEIR_DECL static void split(pending_check const& check, std::deque<split_part>& into);
    WEIR_DECL error_code finish(pending_check* check, std::deque<split_part>& parts);

    /// Writes the command that takes back the newest.
    WEIR_DECL error_code begin_refund(redis::command& out, std::span<charge const> charges);

    /// Writes the command that forgets; forgets locally at once.
    WEIR_DECL void begin_reset(redis::command& out, key_part user, key_part endpoint);

    WEIR_DECL void stop() noexcept;

    /// Spells a request of its own.
    error_code spell(check_request& request, std::span<charge const> charges, std::string_view request_id) const {
        return request.assign(charges, options_.key_prefix, layout_, request_id);
    }
    bool on_several_nodes(check_request const& request) const {
        return layout_ == key_layout::cluster && request.key_count() > 1 && request.slots().size() > 1;
    }
    /// What an operation's end says about Redis: whether it is there, and is to be told what was admitted without it.
    WEIR_DECL void learn(error_code ec);
    /// Takes a charge back; nobody is told.
    WEIR_DECL void roll_back(check_request const& request, std::optional<std::uint16_t> slot, std::int64_t receipt);

private:
    // What was given back, and since when we hear of it.
    WEIR_DECL void on_message(redis::message const& what) noexcept override;
    WEIR_DECL void on_gap() noexcept override;

    WEIR_DECL pending_check* take();
    WEIR_DECL std::size_t send_shared(std::span<pending_check* const> checks);
    WEIR_DECL void send_alone(pending_check* check, redis::exec_options const& how);
    WEIR_DECL redis::exec_options within_deadline(pending_check const& first) const;
    WEIR_DECL void call_ended(error_code ec, std::chrono::microseconds sent);
    WEIR_DECL void finish_shared(shared_call& call, error_code ec);
    WEIR_DECL void cancel(pending_check* check, std::uint64_t ticket);
    WEIR_DECL void tell(pending_check* check, error_code ec);
    WEIR_DECL error_code read(pending_check& check, std::span<std::int64_t const> reply);
    WEIR_DECL void remember(pending_check const& check);
    WEIR_DECL bool refuse_as_before(check_request const& request, std::chrono::microseconds now, decision& out);
    WEIR_DECL bool answered_here(pending_check& check, bool tentative);
    WEIR_DECL bool use_stock(check_request const& request, std::chrono::microseconds now, decision& out,
                             bool tentative);
    WEIR_DECL void restock(permit_stock::shelf& shelf, std::uint64_t units, std::chrono::microseconds now);
    WEIR_DECL void give_back(std::chrono::microseconds ended_by);
    WEIR_DECL void schedule_return();
    WEIR_DECL void pay_debts();
    WEIR_DECL void owe(local_engine::debt&& one);
    WEIR_DECL void beat();
    WEIR_DECL void schedule_beat();
    WEIR_DECL error_code assign(pending_check& check, std::span<charge const> charges, request_options const& options);
    WEIR_DECL error_code gather(pending_check& check, std::deque<split_part>& parts);
    WEIR_DECL error_code gather_settlement(pending_check& check, std::deque<split_part>& parts);
    WEIR_DECL error_code conclude_failure(pending_check* check, error_code ec);
    WEIR_DECL void decide_without_redis(check_request const& request, error_code why, decision& out);
    WEIR_DECL void schedule_probe();
    WEIR_DECL void probe();

    redis::client& client_;
    std::vector<rule> const rules_;
    limiter_options options_;
    key_layout const layout_;
    outage_gate gate_;
    /// Whether something was admitted without Redis of which it may have to be told, and not before when.
    bool owes_ = false;
    std::chrono::microseconds pay_at_{0};
    std::vector<local_engine::debt> unpaid_;
    asio::basic_waitable_timer<boot_clock> probe_timer_;
    redis::command const ping_{"PING"};
    redis::ignore_sink pong_;
    bool stopped_ = false;
    std::vector<pending_check*> waiting_, sending_;
    /// Calls of checks that share, or would have.
    std::size_t under_way_ = 0;
    /// How long the quickest of the last calls took.
    std::chrono::nanoseconds quickest_reply_{std::chrono::seconds{1}};
    std::vector<std::unique_ptr<shared_call>> all_calls_;
    std::vector<shared_call*> free_calls_;
    denial_cache refusals_;
    std::optional<redis::subscriber> changes_;
    redis::subscription subscription_;
    permit_stock stock_;
    asio::basic_waitable_timer<boot_clock> return_timer_;
    bool returning_ = false;
    asio::basic_waitable_timer<boot_clock> beat_timer_;
    redis::command beat_;
    redis::int_sink<1> alive_;
    std::vector<std::unique_ptr<pending_check>> all_;
    std::vector<pending_check*> free_;
};

/// Whether a refusal need not be the last word.
WEIR_DECL bool may_wait(std::span<charge const> charges, request_options const& options) noexcept;

/// A check that may wait for its place. Owned by the operation it waits for.
///
/// Where its keys lie in several slots it takes a place in each, and passes when the last has come. A unit counts from
/// its place on: one taken for much earlier would be over too soon after the request has passed. So those that come
/// before the last are given back and taken anew, not before that, until all come together.
class place_wait : public std::enable_shared_from_this<place_wait> {
public:
    WEIR_DECL place_wait(std::shared_ptr<limiter_state> state, decision& result, request_options const& options,
                         asio::any_completion_handler<void(error_code)>&& handler);
    WEIR_DECL void start(std::span<charge const> charges, request_options const& options);

private:
    /// The place in one slot, or of all keys.
    struct part {
        check_request::wait_form how;
        redis::command command;
        check_reply reply;
        std::optional<check_request::place> place;
        std::chrono::microseconds sent{0}, received{0};
        error_code result;
    };

    WEIR_DECL std::chrono::milliseconds patience() const noexcept;
    WEIR_DECL void on_checked(error_code ec);
    WEIR_DECL void ask(std::chrono::microseconds now, std::chrono::microseconds not_before,
                       std::chrono::microseconds deadline);
    WEIR_DECL void on_reply(part& one, error_code ec);
    WEIR_DECL void on_all_replies();
    WEIR_DECL void sleep();
    WEIR_DECL void on_turn();
    WEIR_DECL void give_back(part& one);
    WEIR_DECL void give_up(error_code why);
    WEIR_DECL void refuse(error_code why);
    WEIR_DECL void cancel();
    WEIR_DECL void complete(error_code ec);

    std::shared_ptr<limiter_state> state_;
    decision& result_;
    std::chrono::milliseconds const longest_, keep_;
    asio::any_completion_handler<void(error_code)> handler_;
    check_request request_;
    asio::cancellation_signal cancel_check_;
    /// What was said before a place was asked for.
    std::vector<rule_decision> refusal_;
    std::deque<part> parts_;
    std::size_t open_ = 0;
    /// Others may take places meanwhile, in another order on each node: so often it is tried.
    static constexpr int max_rounds = 16;
    int rounds_ = 0;
    /// The longest wait, and when it is over.
    std::chrono::milliseconds patience_{0};
    std::chrono::microseconds deadline_{0};
    bool cancelled_ = false;
    asio::basic_waitable_timer<boot_clock> turn_;
};

template <class Handler>
void check_handler<Handler>::operator()(error_code ec) {
    auto const result = state->finish(check, ec);
    state.reset();
    std::move(handler)(result);
}

/// A check under way on several nodes. Owned by its calls.
template <class Handler>
class split_check : public std::enable_shared_from_this<split_check<Handler>> {
public:
    split_check(std::shared_ptr<limiter_state> state, pending_check* check, Handler&& handler)
        : state_(std::move(state))
        , check_(check)
        , handler_(std::move(handler)) {}

    void start() {
        limiter_state::split(*check_, parts_);
        left_ = parts_.size();
        if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
            slot.assign([this](asio::cancellation_type type) {
                for (auto& each : parts_)
                    each.cancel.emit(type);
            });
        for (auto& each : parts_)
            state_->client().async_exec(
                each.command, each.reply, redis::exec_options{},
                asio::bind_cancellation_slot(each.cancel.slot(),
                                             [self = this->shared_from_this(), &each](error_code ec) {
                                                 each.result = ec;
                                                 if (--self->left_ == 0)
                                                     self->finish();
                                             }));
    }

private:
    void finish() {
        if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
            slot.clear();
        auto const result = state_->finish(check_, parts_);
        auto const executor = asio::get_associated_executor(handler_, state_->get_executor());
        asio::dispatch(executor, [handler = std::move(handler_), result]() mutable { std::move(handler)(result); });
    }

    std::shared_ptr<limiter_state> state_;
    pending_check* check_;
    Handler handler_;
    std::deque<split_part> parts_;
    std::size_t left_ = 0;
};

/// A reset or a refund under way: its command and reply, and whom to tell the sum.
struct pending_sum {
    redis::command command;
    check_reply reply;
};

template <class Handler>
struct sum_handler {
    std::unique_ptr<pending_sum> pending;
    Handler handler;

    void operator()(error_code ec) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; !ec && i < pending->reply.size(); ++i)
            sum += static_cast<std::uint64_t>(pending->reply[i]);
        pending.reset();
        std::move(handler)(ec, sum);
    }
};

} // namespace detail

inline std::vector<rule> const& limiter::rules() const noexcept { return state_->rules(); }
inline limiter::executor_type limiter::get_executor() const noexcept { return state_->get_executor(); }
inline bool limiter::redis_away() const noexcept { return state_->redis_away(); }
inline permit_stock::figures const& limiter::charged_ahead() const noexcept { return state_->charged_ahead(); }
inline bool limiter::try_check(std::span<charge const> charges, decision& result) {
    return state_->decide_at_once(charges, result);
}

template <class Handler>
void limiter::initiate(std::shared_ptr<detail::limiter_state> const& state, check_order order,
                       std::span<charge const> charges, request_options const& options, decision* result,
                       settlement* settled, Handler&& handler) {
    if ((order == check_order::decide || order == check_order::once) && detail::may_wait(charges, options))
        return std::make_shared<detail::place_wait>(state, *result, options, std::forward<Handler>(handler))
            ->start(charges, options);
    start_order(state, order, charges, options, result, settled, std::forward<Handler>(handler));
}

template <class Handler>
void limiter::start_order(std::shared_ptr<detail::limiter_state> const& state, check_order order,
                          std::span<charge const> charges, request_options const& options, decision* result,
                          settlement* settled, Handler&& handler) {
    using handler_type = std::decay_t<Handler>;
    auto const [check, answered, split] = state->begin(order, charges, options, result, settled);
    if (split)
        return std::make_shared<detail::split_check<handler_type>>(state, check, std::forward<Handler>(handler))
            ->start();
    if (check && state->shares_call(*check))
        return state->enqueue(check, std::forward<Handler>(handler));
    if (check) {
        auto const again = check->form.order == check_order::once || check->form.order == check_order::settle;
        state->client().async_exec(check->command, check->reply, redis::exec_options{.idempotent = again},
                                   detail::check_handler<handler_type>{state, check, std::forward<Handler>(handler)});
        return;
    }
    auto const executor = asio::get_associated_executor(handler, state->get_executor());
    asio::post(executor,
               [handler = std::forward<Handler>(handler), code = answered]() mutable { std::move(handler)(code); });
}

template <class Handler>
void limiter::reset(std::shared_ptr<detail::limiter_state> const& state, key_part user, key_part endpoint,
                    Handler&& handler) {
    auto pending = std::make_unique<detail::pending_sum>();
    state->begin_reset(pending->command, user, endpoint);
    auto& held = *pending;
    using handler_type = std::decay_t<Handler>;
    state->client().async_exec(held.command, held.reply, redis::exec_options{.idempotent = true},
                               detail::sum_handler<handler_type>{std::move(pending), std::forward<Handler>(handler)});
}

template <class Handler>
void limiter::refund(std::shared_ptr<detail::limiter_state> const& state, std::span<charge const> charges,
                     Handler&& handler) {
    auto pending = std::make_unique<detail::pending_sum>();
    auto const ec = state->begin_refund(pending->command, charges);
    auto& held = *pending;
    using handler_type = std::decay_t<Handler>;
    if (ec) {
        auto const executor = asio::get_associated_executor(handler, state->get_executor());
        asio::post(executor, [handler = std::forward<Handler>(handler), ec]() mutable { std::move(handler)(ec, 0); });
        return;
    }
    state->client().async_exec(held.command, held.reply, redis::exec_options{},
                               detail::sum_handler<handler_type>{std::move(pending), std::forward<Handler>(handler)});
}

} // namespace weir

// The caller's executor, allocator and cancellation slot are those of the operation.
namespace boost::asio {

template <template <class, class> class Associator, class Handler, class Default>
struct associator<Associator, weir::detail::check_handler<Handler>, Default> : Associator<Handler, Default> {
    static auto get(weir::detail::check_handler<Handler> const& h) noexcept {
        return Associator<Handler, Default>::get(h.handler);
    }
    static auto get(weir::detail::check_handler<Handler> const& h, Default const& d) noexcept {
        return Associator<Handler, Default>::get(h.handler, d);
    }
};

template <template <class, class> class Associator, class Handler, class Default>
struct associator<Associator, weir::detail::decision_handler<Handler>, Default> : Associator<Handler, Default> {
    static auto get(weir::detail::decision_handler<Handler> const& h) noexcept {
        return Associator<Handler, Default>::get(h.handler);
    }
    static auto get(weir::detail::decision_handler<Handler> const& h, Default const& d) noexcept {
        return Associator<Handler, Default>::get(h.handler, d);
    }
};

template <template <class, class> class Associator, class Handler, class Default>
struct associator<Associator, weir::detail::sum_handler<Handler>, Default> : Associator<Handler, Default> {
    static auto get(weir::detail::sum_handler<Handler> const& h) noexcept {
        return Associator<Handler, Default>::get(h.handler);
    }
    static auto get(weir::detail::sum_handler<Handler> const& h, Default const& d) noexcept {
        return Associator<Handler, Default>::get(h.handler, d);
    }
};

} // namespace boost::asio
