#pragma once

// While Redis is away, and what it is told when it is back.

#include <weir/rate_limit/limiter.hpp>

#include <algorithm>

namespace weir::detail {

/// Whether an error is of the caller's making or an answer of Redis, rather than that Redis could not be asked.
inline bool is_of_the_call(error_code const& ec) noexcept {
    return ec == errc::unknown_request || ec == errc::already_settled || ec == errc::request_id_reused ||
           ec == errc::cancelled || ec == errc::cancelled_unsent;
}

WEIR_DECL void limiter_state::learn(error_code ec) {
    bool const cancelled = ec && (ec == errc::cancelled || ec == errc::cancelled_unsent || ec == errc::client_closed);
    if (cancelled)
        return;
    if (!ec || is_of_the_call(ec)) {
        gate_.on_success();
        if (owes_)
            pay_debts();
        return;
    }
    // A node of a cluster that is away is no reason to leave the others unasked.
    bool const of_one_node = layout_ == key_layout::cluster && client_.connected();
    if (!of_one_node && gate_.on_failure(ec))
        schedule_probe();
}

/// Charges what was admitted without Redis, so that an outage is no amnesty. What cannot be charged yet, because Redis
/// or the node of a cluster is away again, is tried again later; what may have been charged is not.
WEIR_DECL void limiter_state::pay_debts() {
    auto const now = boot_microseconds();
    if (now < pay_at_)
        return;
    owes_ = false;
    auto debts = options_.local->take_debts(now);
    for (auto& each : std::exchange(unpaid_, {}))
        if (now < each.counts_until)
            debts.push_back(std::move(each));
    struct payment {
        std::vector<local_engine::debt> left;
        redis::command command;
        check_reply reply;
    };
    constexpr std::size_t lanes = 32;
    for (std::size_t lane = 0; lane < std::min(lanes, debts.size()); ++lane) {
        auto const mine = std::make_shared<payment>();
        for (auto i = lane; i < debts.size(); i += lanes)
            mine->left.push_back(std::move(debts[i]));
        auto const next = [self = shared_from_this(), mine](auto const& again) -> void {
            if (mine->left.empty())
                return;
            auto const& debt = mine->left.back();
            mine->command.clear().evalsha(rate_check_script(), 1, 1).arg(debt.key).arg(debt.packed);
            self->client_.async_exec(mine->command, mine->reply, redis::exec_options{}, [=](error_code failed) {
                if (failed && failed != kind::outcome_unknown)
                    self->owe(std::move(mine->left.back()));
                mine->left.pop_back();
                again(again);
            });
        };
        next(next);
    }
}

WEIR_DECL void limiter_state::owe(local_engine::debt&& one) {
    unpaid_.push_back(std::move(one));
    owes_ = true;
    pay_at_ = boot_microseconds() + options_.probe_interval;
}

WEIR_DECL void limiter_state::schedule_beat() {
    if (stopped_)
        return;
    beat_timer_.expires_after(options_.heartbeat);
    beat_timer_.async_wait([self = shared_from_this()](error_code ec) {
        if (!ec && !self->stopped_)
            self->beat();
    });
}

/// Whoever misses three beats is taken to be gone.
WEIR_DECL void limiter_state::beat() {
    beat_.clear().evalsha(rate_instances_script(), 1, 2);
    beat_.arg(options_.key_prefix + "rate:instances").arg(options_.local->instance_id());
    beat_.arg(3 * options_.heartbeat.count());
    client_.async_exec(beat_, alive_, redis::exec_options{.idempotent = true},
                       [self = shared_from_this()](error_code ec) {
                           if (!ec && self->alive_[0] > 0)
                               self->options_.local->set_instances(static_cast<unsigned>(self->alive_[0]));
                           self->schedule_beat();
                       });
}

WEIR_DECL error_code limiter_state::conclude_failure(pending_check* check, error_code ec) {
    auto* const result = check->result;
    free_.push_back(check);
    learn(ec);
    if (!ec || !result)
        return ec;
    if (!is_of_the_call(ec)) {
        decide_without_redis(check->request, ec, *result);
        return {};
    }
    result->allowed = false;
    result->rules.clear();
    return ec;
}

WEIR_DECL void limiter_state::decide_without_redis(check_request const& request, error_code why, decision& out) {
    out.rules.resize(request.items().size());
    out.error = why;
    bool closed = false;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto& one = out.rules[i];
        request.fill(request.items()[i], one);
        if (one.listed)
            continue;
        switch (one.rule->on_redis_failure) {
        case on_redis_failure::local:
            one.outcome = outcome::error_local;
            break;
        case on_redis_failure::open:
            one.outcome = outcome::error_open;
            one.allowed = true;
            break;
        case on_redis_failure::closed:
            one.outcome = one.rule->shadow ? outcome::shadow_deny : outcome::error_closed;
            one.retry_after = std::chrono::seconds{1};
            closed = closed || !one.rule->shadow;
            break;
        }
    }
    auto const now = boot_microseconds();
    options_.local->decide(request, now, !closed, out);
    conclude(out);
    owes_ = owes_ || out.allowed;
}

WEIR_DECL void limiter_state::schedule_probe() {
    if (stopped_)
        return;
    probe_timer_.expires_after(options_.probe_interval);
    probe_timer_.async_wait([self = shared_from_this()](error_code ec) {
        if (!ec && !self->stopped_)
            self->probe();
    });
}

WEIR_DECL void limiter_state::probe() {
    client_.async_exec(ping_, pong_, redis::exec_options{.idempotent = true},
                       [self = shared_from_this()](error_code ec) {
                           if (!ec) {
                               self->learn(ec);
                           } else if (!self->stopped_ && ec != errc::client_closed) {
                               self->gate_.on_failure(ec);
                               self->schedule_probe();
                           }
                       });
}

} // namespace weir::detail
