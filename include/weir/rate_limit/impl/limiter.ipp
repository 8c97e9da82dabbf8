#pragma once

#include <weir/rate_limit/limiter.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>

namespace weir {
namespace detail {

WEIR_DECL limiter_state::limiter_state(redis::client& client, std::vector<rule> rules, limiter_options options)
    : client_(client)
    , rules_(std::move(rules))
    , options_(std::move(options))
    , layout_(client.options().server.topology == redis::topology::cluster ? key_layout::cluster
                                                                           : key_layout::standalone)
    , probe_timer_(client.get_executor()) {
    if (!options_.local)
        options_.local = std::make_shared<local_engine>();
}

WEIR_DECL pending_check* limiter_state::take() {
    if (free_.empty()) {
        all_.push_back(std::make_unique<pending_check>());
        free_.reserve(all_.size()); // so that finish() cannot fail
        return all_.back().get();
    }
    auto* const check = free_.back();
    free_.pop_back();
    return check;
}

WEIR_DECL limiter_state::beginning limiter_state::begin(std::span<charge const> charges, decision& result) {
    result.allowed = false;
    result.rules.clear();
    auto* const check = take();
    if (auto const ec = check->request.assign(charges, options_.key_prefix, layout_)) {
        free_.push_back(check);
        return {nullptr, ec};
    }
    if (gate_.open()) {
        decide_without_redis(check->request, gate_.reason(), result);
        free_.push_back(check);
        return {nullptr, {}};
    }
    check->result = &result;
    if (layout_ == key_layout::cluster && check->request.key_count() > 1 && check->request.slots().size() > 1)
        return {check, {}, true};
    check->request.encode(check->command);
    return {check, {}};
}

WEIR_DECL error_code limiter_state::finish(pending_check* check, error_code ec) {
    if (!ec)
        ec = check->request.decode(check->reply, *check->result);
    return conclude_failure(check, ec);
}

WEIR_DECL error_code limiter_state::conclude_failure(pending_check* check, error_code ec) {
    auto& result = *check->result;
    bool const cancelled = ec == errc::cancelled || ec == errc::cancelled_unsent;
    if (!ec) {
        gate_.on_success();
    } else if (cancelled) {
        result.allowed = false;
        result.rules.clear();
    } else {
        // A node of a cluster that is away is no reason to leave the others unasked.
        bool const of_one_node = layout_ == key_layout::cluster && client_.connected();
        if (!of_one_node && gate_.on_failure(ec))
            schedule_probe();
        decide_without_redis(check->request, ec, result);
    }
    free_.push_back(check);
    return cancelled ? ec : error_code{};
}

WEIR_DECL void limiter_state::split(pending_check const& check, std::deque<split_part>& into) {
    for (auto const slot : check.request.slots()) {
        auto& part = into.emplace_back();
        part.slot = slot;
        check.request.encode_slot(part.command, slot);
    }
}

WEIR_DECL error_code limiter_state::finish(pending_check* check, std::deque<split_part>& parts) {
    return conclude_failure(check, settle(check->request, parts, *check->result));
}

/// All or nothing, over several calls: where one refused or failed, the others are taken back.
WEIR_DECL error_code limiter_state::settle(check_request const& request, std::deque<split_part>& parts, decision& out) {
    out.rules.assign(request.items().size(), {});
    out.error = {};
    std::vector<std::pair<std::uint16_t, std::int64_t>> receipts;
    error_code failure;
    bool unknown = false;
    for (auto& part : parts) {
        std::int64_t receipt = 0;
        if (!part.result)
            part.result = request.decode_slot(part.reply, part.slot, out, receipt);
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
    for (auto const& [slot, receipt] : receipts)
        if (failure || !out.allowed)
            refund(request, slot, receipt);
    if (failure)
        return failure;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto& one = out.rules[i];
        auto const cost = request.items()[i].cost;
        auto const slot = redis::hash_slot(request.key(request.items()[i].key));
        bool const taken_back =
            std::any_of(receipts.begin(), receipts.end(), [&](auto const& r) { return r.first == slot; });
        if (out.allowed && cost > 0)
            one.reset_after = one.rule->window;
        else if (taken_back)
            one.remaining += cost;
    }
    return {};
}

WEIR_DECL void limiter_state::refund(check_request const& request, std::uint16_t slot, std::int64_t receipt) {
    struct call {
        redis::command command;
        redis::int_sink<1> reply;
    };
    auto const made = std::make_shared<call>();
    request.encode_refund(made->command, slot, receipt);
    client_.async_exec(made->command, made->reply, redis::exec_options{}, [made](error_code) {});
}

WEIR_DECL void limiter_state::decide_without_redis(check_request const& request, error_code why, decision& out) {
    out.rules.resize(request.items().size());
    out.error = why;
    bool closed = false;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto& one = out.rules[i];
        one = {};
        one.rule = request.items()[i].rule;
        switch (one.rule->on_redis_failure) {
        case on_redis_failure::local:
            one.outcome = outcome::error_local;
            break;
        case on_redis_failure::open:
            one.outcome = outcome::error_open;
            one.allowed = true;
            one.remaining = one.rule->limit;
            break;
        case on_redis_failure::closed:
            one.outcome = outcome::error_closed;
            one.retry_after = std::chrono::seconds{1};
            closed = true;
            break;
        }
    }
    auto const now = std::chrono::duration_cast<std::chrono::microseconds>(boot_clock::now().time_since_epoch());
    options_.local->decide(request, now, !closed, out);
    conclude(out);
}

WEIR_DECL void limiter_state::begin_reset(redis::command& out, key_part user, key_part endpoint) {
    std::string key;
    append_rate_key(key, options_.key_prefix, user, endpoint, layout_);
    out.clear().evalsha(rate_reset_script(), 1, rules_.size()).arg(key);
    for (auto const& one : rules_) {
        std::array<char, 4> id;
        put_integer<4>(id.data(), rule_id(one));
        out.arg(std::string_view{id.data(), id.size()});
        options_.local->reset(one, key);
    }
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
                               self->gate_.on_success();
                           } else if (!self->stopped_ && ec != errc::client_closed) {
                               self->gate_.on_failure(ec);
                               self->schedule_probe();
                           }
                       });
}

WEIR_DECL void limiter_state::stop() noexcept {
    stopped_ = true;
    try {
        probe_timer_.cancel();
    } catch (boost::system::system_error const&) { // cancelling fails only where nothing waits
    }
}

inline std::vector<rule> checked_rules(std::vector<rule> rules) {
    if (rules.size() > max_rules_per_check)
        throw std::invalid_argument("a limiter takes at most " + std::to_string(max_rules_per_check) + " rules");
    std::set<std::uint32_t> ids;
    for (auto const& one : rules) {
        if (one.limit > max_limit)
            throw std::invalid_argument("rule " + one.name + ": limit is above " + std::to_string(max_limit));
        if (one.window < min_window || one.window > max_window)
            throw std::invalid_argument("rule " + one.name + ": window is not between 1 ms and 366 days");
        if (!ids.insert(rule_id(one)).second)
            throw std::invalid_argument("rule " + one.name + ": another rule has this name or its hash; rename one");
    }
    return rules;
}

} // namespace detail

WEIR_DECL limiter::limiter(redis::client& client, std::vector<rule> rules, limiter_options options)
    : state_(std::make_shared<detail::limiter_state>(client, detail::checked_rules(std::move(rules)),
                                                     std::move(options))) {}

WEIR_DECL limiter::~limiter() {
    if (state_)
        state_->stop();
}

WEIR_DECL std::vector<charge> limiter::charges_of(detail::limiter_state const& state, key_part user, key_part endpoint,
                                                  std::uint64_t cost) {
    std::vector<charge> charges;
    for (auto const& one : state.rules())
        charges.push_back({&one, user, endpoint, cost});
    return charges;
}

} // namespace weir
