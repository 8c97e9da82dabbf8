#pragma once

#include <weir/rate_limit/limiter.hpp>

#include <algorithm>

namespace weir::detail {

WEIR_DECL place_wait::place_wait(std::shared_ptr<limiter_state> state, decision& result,
                                 std::chrono::milliseconds longest,
                                 asio::any_completion_handler<void(error_code)>&& handler)
    : state_(std::move(state))
    , result_(result)
    , longest_(longest)
    , turn_(state_->get_executor()) {
    handler_.swap(handler);
}

WEIR_DECL bool may_wait(std::span<charge const> charges, request_options const& options) noexcept {
    bool waits = options.max_wait.count() != 0;
    for (auto const& one : charges) {
        if (one.rule == nullptr || one.rule->algorithm == algorithm::concurrency)
            return false;
        waits = waits || one.rule->max_wait.count() > 0;
    }
    return waits;
}

WEIR_DECL void place_wait::start(std::span<charge const> charges) {
    if (auto const ec = state_->spell(request_, charges); ec || longest_.count() < 0 || longest_ > max_window) {
        asio::post(state_->get_executor(), [self = shared_from_this()] { self->complete(errc::invalid_argument); });
        return;
    }
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
        slot.assign([this](asio::cancellation_type) { cancel(); });
    limiter::start_order(state_, check_order::decide, charges, {}, &result_, nullptr,
                         asio::bind_cancellation_slot(cancel_check_.slot(), [self = shared_from_this()](error_code ec) {
                             self->on_checked(ec);
                         }));
}

/// How long this refusal is worth waiting for.
WEIR_DECL std::chrono::milliseconds place_wait::patience() const noexcept {
    if (longest_.count() > 0)
        return longest_;
    auto least = std::chrono::milliseconds::max();
    for (auto const& one : result_.rules)
        if (!one.allowed && !one.rule->shadow)
            least = std::min(least, one.rule->max_wait);
    return least;
}

/// Asks for a place where waiting may help.
WEIR_DECL void place_wait::on_checked(error_code ec) {
    if (ec || result_.allowed || result_.error || result_.retry_after > patience() || result_.refused_by_list())
        return complete(ec);
    if (cancelled_)
        return complete(errc::cancelled_unsent);
    if (state_->on_several_nodes(request_))
        return complete({});
    request_.encode_wait(command_, patience());
    state_->client().async_exec(command_, reply_, redis::exec_options{},
                                [self = shared_from_this()](error_code failed) { self->on_placed(failed); });
}

WEIR_DECL void place_wait::on_placed(error_code ec) {
    std::chrono::microseconds wait{0};
    if (!ec)
        ec = request_.decode_wait(reply_, result_, moment_, wait);
    state_->learn(ec);
    if (ec == errc::cancelled || ec == errc::cancelled_unsent || ec == errc::client_closed)
        return complete(ec);
    if (ec) {
        result_.error = ec; // it stays refused, as it was
        return complete({});
    }
    if (cancelled_) {
        on_turn();
        return;
    }
    if (!result_.allowed)
        return complete({});
    result_.waited = std::chrono::ceil<std::chrono::milliseconds>(wait);
    turn_.expires_after(wait);
    turn_.async_wait([self = shared_from_this()](error_code) { self->on_turn(); });
}

WEIR_DECL void place_wait::on_turn() {
    if (!cancelled_)
        return complete({});
    if (result_.allowed)
        state_->roll_back(request_, std::nullopt, moment_);
    complete(errc::cancelled);
}

/// While a place is being asked for, its reply is waited for: only then can it be given up.
WEIR_DECL void place_wait::cancel() {
    cancelled_ = true;
    cancel_check_.emit(asio::cancellation_type::terminal);
    turn_.cancel();
}

WEIR_DECL void place_wait::complete(error_code ec) {
    if (ec) {
        result_.allowed = false;
        result_.rules.clear();
    }
    auto const executor = asio::get_associated_executor(handler_, state_->get_executor());
    auto slot = asio::get_associated_cancellation_slot(handler_);
    // Not before what is being called, which may live in it, has returned.
    asio::post(state_->get_executor(), [handler = std::move(handler_), executor, slot, ec]() mutable {
        if (slot.is_connected())
            slot.clear();
        asio::dispatch(executor, [handler = std::move(handler), ec]() mutable { std::move(handler)(ec); });
    });
}

} // namespace weir::detail
