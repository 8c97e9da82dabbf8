#pragma once

// How checks become calls of Redis: several in one, or one in several, a node each.

#include <weir/rate_limit/limiter.hpp>

#include <algorithm>

namespace weir::detail {

WEIR_DECL void limiter_state::enqueue(pending_check* check, asio::any_completion_handler<void(error_code)>&& handler) {
    check->handler.swap(handler);
    auto const ticket = ++check->ticket;
    if (auto slot = asio::get_associated_cancellation_slot(check->handler); slot.is_connected())
        slot.assign([this, check, ticket](asio::cancellation_type) { cancel(check, ticket); });
    waiting_.push_back(check);
    // A call costs both ends several times what a check in it does. While one is on its way, the next wait for its
    // reply and go together, unless they fill a call before.
    bool const held = under_way_ > 0 && quickest_reply_ < options_.gather_within;
    check->held_since = held ? boot_microseconds() : std::chrono::microseconds{0};
    if (waiting_.size() == (held ? check_batch::max_requests : 1))
        asio::post(get_executor(), [self = shared_from_this()] { self->flush(); });
}

WEIR_DECL void limiter_state::flush() {
    if (waiting_.empty())
        return;
    sending_.swap(waiting_);
    for (auto const now = boot_microseconds(); auto* const each : sending_)
        each->sent = now;
    for (std::span<pending_check* const> left = sending_; !left.empty();)
        left = left.subspan(send_shared(left));
    sending_.clear();
}

WEIR_DECL void limiter_state::send_alone(pending_check* check, redis::exec_options const& how) {
    check->request.encode(check->command, check->form);
    client_.async_exec(check->command, check->reply, how, [self = shared_from_this(), check](error_code ec) {
        self->call_ended(ec, check->sent);
        if (!ec && check->handler)
            ec = self->read(*check, check->reply.integers());
        self->tell(check, ec);
    });
    ++under_way_;
}

/// Of a call that is sent now: so long after its first check began.
WEIR_DECL redis::exec_options limiter_state::within_deadline(pending_check const& first) const {
    redis::exec_options how;
    if (first.held_since != std::chrono::microseconds{0})
        how.timeout = std::max<std::chrono::nanoseconds>(client_.options().timeout - (first.sent - first.held_since),
                                                         std::chrono::nanoseconds{1});
    return how;
}

/// Those at the front that may share the deadline of the first: it takes little of the others' time.
inline std::span<pending_check* const> of_one_moment(std::span<pending_check* const> checks,
                                                     std::chrono::microseconds timeout) {
    auto const end = checks.front()->held_since + timeout / 32;
    auto const later =
        std::find_if(checks.begin(), checks.end(), [&](auto const* each) { return each->held_since > end; });
    return {checks.begin(), later};
}

/// Sends as many as fit into one call, one at least; returns how many.
WEIR_DECL std::size_t limiter_state::send_shared(std::span<pending_check* const> checks) {
    checks = of_one_moment(checks, client_.options().timeout);
    auto const how = within_deadline(*checks.front());
    if (checks.size() == 1) {
        send_alone(checks.front(), how);
        return 1;
    }
    if (free_calls_.empty()) {
        all_calls_.push_back(std::make_unique<shared_call>());
        free_calls_.push_back(all_calls_.back().get());
    }
    auto& call = *free_calls_.back();
    free_calls_.pop_back();
    call.batch.clear();
    call.checks.clear();
    while (call.checks.size() < checks.size() && call.batch.add(checks[call.checks.size()]->request))
        call.checks.push_back(checks[call.checks.size()]);
    auto const taken = call.checks.size();
    call.batch.encode(call.command);
    client_.async_exec(call.command, call.reply, how,
                       [self = shared_from_this(), &call](error_code ec) { self->finish_shared(call, ec); });
    ++under_way_;
    return taken;
}

/// Those that wait for it go before its answers are told: Redis decides them while we do what the answers give rise to.
WEIR_DECL void limiter_state::call_ended(error_code ec, std::chrono::microseconds sent) {
    --under_way_;
    // Under load most replies are late, wherever the server is; that it has moved away shows after some hundred.
    if (!ec)
        quickest_reply_ =
            std::min<std::chrono::nanoseconds>(boot_microseconds() - sent, quickest_reply_ + quickest_reply_ / 256);
    if (waiting_.empty())
        return;
    flush();
    client_.flush();
}

WEIR_DECL void limiter_state::finish_shared(shared_call& call, error_code ec) {
    call_ended(ec, call.checks.front()->sent);
    std::span<std::int64_t const> left = call.reply.integers();
    for (std::size_t i = 0; i < call.checks.size(); ++i) {
        auto* const check = call.checks[i];
        auto result = ec;
        auto const mine = ec ? left : call.batch.take_reply(i, left);
        check->form.shared = true;
        if (!result && check->handler)
            result = read(*check, mine);
        tell(check, result);
    }
    free_calls_.push_back(&call);
}

/// Completes a check that shares calls; one that was cancelled meanwhile is only put back.
WEIR_DECL void limiter_state::tell(pending_check* check, error_code ec) {
    if (!check->handler) {
        free_.push_back(check);
        return;
    }
    auto handler = std::move(check->handler);
    if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected())
        slot.clear();
    auto const result = conclude_failure(check, ec);
    asio::any_completion_executor const executor = asio::get_associated_executor(handler, get_executor());
    // Where it is to be called from here anyway, that needs nothing to be kept for it meanwhile.
    if (auto const* const own = executor.target<asio::io_context::executor_type>();
        own != nullptr && *own == get_executor())
        std::move(handler)(result);
    else
        asio::dispatch(executor, [handler = std::move(handler), result]() mutable { std::move(handler)(result); });
}

WEIR_DECL void limiter_state::cancel(pending_check* check, std::uint64_t ticket) {
    if (!check->handler || check->ticket != ticket)
        return;
    auto const at = std::find(waiting_.begin(), waiting_.end(), check);
    bool const unsent = at != waiting_.end();
    auto handler = std::move(check->handler);
    check->result->allowed = false;
    check->result->rules.clear();
    if (unsent) {
        waiting_.erase(at);
        free_.push_back(check);
    }
    error_code const why = unsent ? errc::cancelled_unsent : errc::cancelled;
    asio::post(get_executor(), [self = shared_from_this(), handler = std::move(handler), why]() mutable {
        if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected())
            slot.clear(); // not sooner: what is being called lives in it
        auto const executor = asio::get_associated_executor(handler, self->get_executor());
        asio::dispatch(executor, [handler = std::move(handler), why]() mutable { std::move(handler)(why); });
    });
}

WEIR_DECL void limiter_state::split(pending_check const& check, std::deque<split_part>& into) {
    for (auto const slot : check.request.slots()) {
        auto& part = into.emplace_back();
        part.slot = slot;
        auto how = check.form;
        how.slot = slot;
        check.request.encode(part.command, how);
    }
}

WEIR_DECL error_code limiter_state::finish(pending_check* check, std::deque<split_part>& parts) {
    return conclude_failure(check, check->settled ? gather_settlement(*check, parts) : gather(*check, parts));
}

WEIR_DECL error_code limiter_state::gather_settlement(pending_check& check, std::deque<split_part>& parts) {
    check.settled->rules.assign(check.request.items().size(), {});
    error_code failure;
    for (auto& part : parts) {
        auto how = check.form;
        how.slot = part.slot;
        if (!part.result)
            part.result = check.request.decode(part.reply, how, *check.settled);
        if (part.result)
            failure = part.result;
    }
    return failure;
}

/// All or nothing, over several calls: where one refused or failed, the others are taken back.
WEIR_DECL error_code limiter_state::gather(pending_check& check, std::deque<split_part>& parts) {
    auto const& request = check.request;
    auto& out = *check.result;
    out.rules.assign(request.items().size(), {});
    out.error = {};
    std::vector<std::pair<std::uint16_t, std::int64_t>> receipts;
    error_code failure;
    bool unknown = false;
    for (auto& part : parts) {
        std::int64_t receipt = 0;
        auto how = check.form;
        how.slot = part.slot;
        if (!part.result)
            part.result = request.decode(part.reply, how, out, receipt);
        if (receipt != 0)
            receipts.emplace_back(part.slot, receipt);
        unknown = unknown || part.result == kind::outcome_unknown;
        if (part.result)
            failure = part.result;
    }
    if (failure == errc::cancelled_unsent && (unknown || !receipts.empty()))
        failure = errc::cancelled;
    if (!failure)
        conclude(out);
    bool const back = (failure || !out.allowed) && check.form.order != check_order::extend;
    for (auto const& [slot, receipt] : receipts)
        if (back)
            roll_back(request, slot, receipt);
    if (failure)
        return failure;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto const& item = request.items()[i];
        auto& one = out.rules[i];
        if (item.listed || !one.allowed)
            continue;
        auto const slot = redis::hash_slot(request.key(item.key));
        bool const charged =
            std::any_of(receipts.begin(), receipts.end(), [&](auto const& r) { return r.first == slot; });
        if (out.allowed)
            add_to_reset(item, one);
        else if (charged && back)
            one.remaining += item.cost;
    }
    return {};
}

WEIR_DECL void limiter_state::roll_back(check_request const& request, std::optional<std::uint16_t> slot,
                                        std::int64_t receipt) {
    auto const made = std::make_shared<pending_sum>();
    request.encode_refund(made->command, slot, receipt);
    client_.async_exec(made->command, made->reply, redis::exec_options{}, [made](error_code) {});
}

} // namespace weir::detail
