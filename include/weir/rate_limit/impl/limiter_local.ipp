#pragma once

// What is answered without asking: by lists, by a refusal that is remembered, from units charged ahead.

#include <weir/rate_limit/limiter.hpp>

#include <algorithm>

namespace weir::detail {

/// Decides what needs no Redis, or cannot have it. `tentative`: where it does not, the same is asked once more.
WEIR_DECL bool limiter_state::answered_here(pending_check& check, bool tentative) {
    auto const& request = check.request;
    auto& out = *check.result;
    if (request.decided_by_lists()) {
        request.decide_by_lists(out);
        return true;
    }
    if (gate_.open()) {
        decide_without_redis(request, gate_.reason(), out);
        return true;
    }
    bool const plain = check.form.order == check_order::decide;
    bool const leasable = plain && request.leasable();
    bool const refused_lately = plain && refusals_.size() > 0;
    if (!refused_lately && !leasable)
        return false;
    auto const now = boot_microseconds();
    return (refused_lately && refuse_as_before(request, now, out)) ||
           (leasable && use_stock(request, now, out, tentative));
}

WEIR_DECL bool limiter_state::decide_at_once(std::span<charge const> charges, decision& result) {
    result.rules.clear();
    result.request_id.clear();
    result.waited = {};
    auto* const check = take();
    check->result = &result;
    check->settled = nullptr;
    check->form = {};
    bool const done = !check->request.assign(charges, options_.key_prefix, layout_) && answered_here(*check, true);
    free_.push_back(check);
    return done && (result.allowed || result.error || !may_wait(charges, {}));
}

/// Admits from what is charged already, and sees to it that there is more.
WEIR_DECL bool limiter_state::use_stock(check_request const& request, std::chrono::microseconds now, decision& out,
                                        bool tentative) {
    if (on_several_nodes(request))
        return false;
    auto* const shelf = stock_.shelf_of(request, now);
    if (!shelf)
        return false;
    bool const used = stock_.use(*shelf, request.units(), now);
    if (!used && tentative)
        return false;
    stock_.note_demand(*shelf, request.units());
    if (auto const units = stock_.wanted(*shelf, now, options_.local->instances()); units > 0)
        restock(*shelf, units, now);
    if (!used)
        return false;
    auto const items = request.items();
    out.rules.resize(items.size());
    out.error = {};
    for (std::size_t i = 0; i < items.size(); ++i) {
        auto& one = out.rules[i];
        request.fill(items[i], one);
        if (one.listed)
            continue;
        one.allowed = true;
        one.outcome = outcome::allow;
        one.remaining = std::min(one.limit, shelf->room);
        add_to_reset(items[i], one);
    }
    conclude(out);
    return true;
}

WEIR_DECL void limiter_state::restock(permit_stock::shelf& shelf, std::uint64_t units, std::chrono::microseconds now) {
    struct filling {
        check_request request;
        check_request::form form;
        redis::command command;
        check_reply reply;
        decision said;
    };
    auto const mine = std::make_shared<filling>();
    mine->request = shelf.request;
    mine->request.set_units(units);
    mine->form.receipt = true;
    mine->request.encode(mine->command, mine->form);
    client_.async_exec(mine->command, mine->reply, redis::exec_options{},
                       [self = shared_from_this(), mine, &shelf, units, now](error_code ec) {
                           std::int64_t receipt = 0;
                           if (!ec)
                               ec = mine->request.decode(mine->reply, mine->form, mine->said, receipt);
                           self->learn(ec);
                           if (ec || !mine->said.allowed)
                               return self->stock_.not_filled(shelf, boot_microseconds());
                           self->stock_.filled(shelf, units, now, receipt, least_remaining(mine->said));
                           if (self->stopped_)
                               return self->give_back(std::chrono::microseconds::max());
                           self->schedule_return();
                       });
}

WEIR_DECL void limiter_state::schedule_return() {
    auto const next = stock_.next_end();
    if (returning_ || stopped_ || next == std::chrono::microseconds::max())
        return;
    returning_ = true;
    return_timer_.expires_at(boot_clock::time_point{next});
    return_timer_.async_wait([self = shared_from_this()](error_code) {
        self->returning_ = false;
        if (self->stopped_)
            return;
        self->give_back(boot_microseconds());
        self->schedule_return();
    });
}

/// What lay unused is taken back from where it was charged. Where the reply is lost it stays charged.
WEIR_DECL void limiter_state::give_back(std::chrono::microseconds ended_by) {
    for (auto const& each : stock_.take_ended(ended_by)) {
        auto request = each.from->request;
        request.set_units(each.what.left);
        roll_back(request, std::nullopt, each.what.receipt);
    }
}

WEIR_DECL bool limiter_state::refuse_as_before(check_request const& request, std::chrono::microseconds now,
                                               decision& out) {
    if (refusals_.size() == 0)
        return false;
    auto const items = request.items();
    auto const known = [&](check_request::item const& one) {
        if (one.listed || one.rule->shadow || one.cost > one.terms.burst) // the last will never pass, which is not over
            return static_cast<denial_cache::denial const*>(nullptr);
        return refusals_.find(request.key(one.key), rule_id(*one.rule), std::max<std::uint64_t>(one.cost, 1), now);
    };
    if (std::none_of(items.begin(), items.end(), known))
        return false;
    out.rules.resize(items.size());
    out.error = {};
    for (std::size_t i = 0; i < items.size(); ++i) {
        auto& one = out.rules[i];
        request.fill(items[i], one);
        if (auto const* const said = known(items[i])) {
            one.outcome = outcome::deny_local;
            one.remaining = said->remaining;
            one.retry_after = std::chrono::ceil<std::chrono::milliseconds>(said->retry_at - now);
            one.reset_after = std::chrono::ceil<std::chrono::milliseconds>(said->reset_at - now);
        } else if (!one.listed) {
            skip(one);
        }
    }
    conclude(out);
    return true;
}

/// Keeps what Redis refused, but for rules whose refusals it has to count, or that may have room at any moment.
WEIR_DECL void limiter_state::remember(pending_check const& check) {
    auto const items = check.request.items();
    for (std::size_t i = 0; i < items.size(); ++i) {
        auto const& item = items[i];
        auto const& said = check.result->rules[i];
        if (said.allowed || said.outcome != outcome::deny || !said.asked || said.retry_after == never ||
            item.rule->penalty.after > 0 || item.terms.algorithm == algorithm::concurrency)
            continue;
        refusals_.remember(check.request.key(item.key),
                           {rule_id(*item.rule), std::max<std::uint64_t>(item.cost, 1), said.remaining, check.sent,
                            check.sent + said.retry_after, check.sent + said.reset_after});
    }
}

} // namespace weir::detail
