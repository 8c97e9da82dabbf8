#pragma once

#include <weir/rate_limit/limiter.hpp>

#include <algorithm>

namespace weir::detail {

WEIR_DECL place_wait::place_wait(std::shared_ptr<limiter_state> state, decision& result, request_options const& options,
                                 asio::any_completion_handler<void(error_code)>&& handler)
    : state_(std::move(state))
    , result_(result)
    , longest_(options.max_wait)
    , keep_(options.keep)
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

WEIR_DECL void place_wait::start(std::span<charge const> charges, request_options const& options) {
    if (auto const ec = state_->spell(request_, charges, options.request_id);
        ec || longest_.count() < 0 || longest_ > max_window) {
        asio::post(state_->get_executor(), [self = shared_from_this()] { self->complete(errc::invalid_argument); });
        return;
    }
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
        slot.assign([this](asio::cancellation_type) { cancel(); });
    auto const order = request_.has_request_id() ? check_order::once : check_order::decide;
    limiter::start_order(state_, order, charges, options, &result_, nullptr,
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
    patience_ = patience();
    if (ec || result_.allowed || result_.error || result_.retry_after > patience_ || result_.refused_by_list())
        return complete(ec);
    if (cancelled_)
        return complete(errc::cancelled_unsent);
    refusal_ = result_.rules;
    if (state_->on_several_nodes(request_))
        for (auto const slot : request_.slots())
            parts_.emplace_back().how.slot = slot;
    else
        parts_.emplace_back();
    auto const now = boot_microseconds();
    ask(now, parts_.size() > 1 ? now + result_.retry_after : now, now + patience_);
}

/// Asks for the places that are not taken yet.
WEIR_DECL void place_wait::ask(std::chrono::microseconds now, std::chrono::microseconds not_before,
                               std::chrono::microseconds deadline) {
    deadline_ = deadline;
    for (auto& one : parts_) {
        if (one.place)
            continue;
        ++open_;
        one.sent = now;
        one.how.record_ttl = keep_;
        one.how.longest = deadline - now;
        one.how.earliest = not_before - now;
        request_.encode_wait(one.command, one.how);
        state_->client().async_exec(one.command, one.reply,
                                    redis::exec_options{.idempotent = request_.has_request_id()},
                                    [self = shared_from_this(), &one](error_code ec) { self->on_reply(one, ec); });
    }
}

WEIR_DECL void place_wait::on_reply(part& one, error_code ec) {
    one.received = boot_microseconds();
    one.result = ec ? ec : request_.decode_wait(one.reply, one.how, result_, one.place);
    state_->learn(one.result);
    if (--open_ == 0)
        on_all_replies();
}

WEIR_DECL void place_wait::on_all_replies() {
    error_code failure;
    bool refused = false;
    for (auto const& one : parts_) {
        failure = one.result ? one.result : failure;
        refused = refused || !one.place;
    }
    if (cancelled_)
        return give_up(errc::cancelled);
    if (failure == errc::client_closed || is_of_the_call(failure))
        return give_up(failure);
    if (refused)
        return refuse(failure);
    auto last = std::chrono::microseconds::min();
    bool shared = false;
    for (auto const& one : parts_) {
        last = std::max(last, one.sent + one.place->wait);
        shared = shared || one.place->shared;
    }
    // A shared place is where the request with the same id has it: that one sees to it that they come together.
    if (shared ||
        std::all_of(parts_.begin(), parts_.end(), [&](part const& one) { return one.sent + one.place->wait == last; }))
        return sleep();
    if (++rounds_ == max_rounds)
        return refuse({});
    for (auto& one : parts_)
        if (one.sent + one.place->wait < last)
            give_back(one);
    auto const now = boot_microseconds();
    ask(now, std::max(now, last), std::max(now, deadline_));
}

WEIR_DECL void place_wait::sleep() {
    std::chrono::microseconds until{0}, longest{0};
    for (auto const& one : parts_) {
        until = std::max(until, one.received + one.place->wait);
        longest = std::max(longest, one.place->wait);
    }
    result_.waited += std::chrono::ceil<std::chrono::milliseconds>(longest);
    turn_.expires_at(boot_clock::time_point{until});
    turn_.async_wait([self = shared_from_this()](error_code) { self->on_turn(); });
}

WEIR_DECL void place_wait::on_turn() {
    if (cancelled_)
        return give_up(errc::cancelled);
    bool shared = false, waited = false;
    for (auto const& one : parts_) {
        shared = shared || one.place->shared;
        waited = waited || one.place->wait.count() > 0;
    }
    if (parts_.size() > 1 && shared && waited) {
        // Whose place it is may have moved it meanwhile.
        for (auto& one : parts_)
            one.place.reset();
        auto const now = boot_microseconds();
        return ask(now, now, now + patience_);
    }
    if (parts_.size() > 1) {
        conclude(result_);
        for (std::size_t i = 0; i < result_.rules.size(); ++i)
            if (auto const& item = request_.items()[i]; !item.listed && result_.rules[i].allowed)
                add_to_reset(item, result_.rules[i]);
    }
    complete({});
}

WEIR_DECL void place_wait::give_back(part& one) {
    if (one.place)
        state_->roll_back(request_, one.how.slot, one.place->moment);
    one.place.reset();
}

WEIR_DECL void place_wait::give_up(error_code why) {
    for (auto& one : parts_)
        give_back(one);
    complete(why);
}

/// What a node refused is newest; what another placed is given back, and stands as it was said before.
WEIR_DECL void place_wait::refuse(error_code why) {
    for (std::size_t i = 0; i < refusal_.size(); ++i) {
        auto const& item = request_.items()[i];
        auto const here = std::find_if(parts_.begin(), parts_.end(), [&](part const& one) {
            return !item.listed && (!one.how.slot || one.how.slot == redis::hash_slot(request_.key(item.key)));
        });
        if (here == parts_.end() || here->place || here->result)
            result_.rules[i] = refusal_[i];
    }
    conclude(result_);
    result_.error = why;
    give_up({});
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
    // Not before what is being called, which may live in it, has returned; until then it may be called.
    asio::post(state_->get_executor(),
               [self = shared_from_this(), handler = std::move(handler_), executor, slot, ec]() mutable {
                   if (slot.is_connected())
                       slot.clear();
                   asio::dispatch(executor, [handler = std::move(handler), ec]() mutable { std::move(handler)(ec); });
               });
}

} // namespace weir::detail
