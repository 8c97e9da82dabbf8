#pragma once

#include <weir/detail/random_id.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>

namespace weir {
namespace detail {

inline std::chrono::microseconds boot_microseconds() noexcept {
    return std::chrono::duration_cast<std::chrono::microseconds>(boot_clock::now().time_since_epoch());
}

inline std::uint64_t least_remaining(decision const& d) noexcept {
    std::uint64_t least = max_limit;
    for (auto const& one : d.rules)
        if (!one.listed)
            least = std::min(least, one.remaining);
    return least;
}

WEIR_DECL limiter_state::limiter_state(redis::client& client, std::vector<rule> rules, limiter_options options)
    : client_(client)
    , rules_(std::move(rules))
    , options_(std::move(options))
    , layout_(client.options().server.topology == redis::topology::cluster ? key_layout::cluster
                                                                           : key_layout::standalone)
    , probe_timer_(client.get_executor())
    , refusals_(options_.remembered_refusals)
    , return_timer_(client.get_executor())
    , beat_timer_(client.get_executor()) {
    if (!options_.local)
        options_.local = std::make_shared<local_engine>();
}

WEIR_DECL void limiter_state::start() {
    if (refusals_.enabled()) {
        auto& context = static_cast<asio::io_context&>(get_executor().context());
        auto how = client_.options();
        how.scripts.clear();
        how.observer = nullptr;
        changes_.emplace(context, std::move(how), client_.address_source());
        subscription_ = changes_->subscribe("rate:changed", *this);
    }
    if (options_.heartbeat.count() > 0)
        beat();
}

WEIR_DECL void limiter_state::on_message(redis::message const& what) noexcept { refusals_.forget(what.payload); }

WEIR_DECL void limiter_state::on_gap() noexcept { refusals_.clear(); }

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

WEIR_DECL error_code limiter_state::assign(pending_check& check, std::span<charge const> charges,
                                           request_options const& options) {
    auto& how = check.form;
    auto const held = [](charge const& c) {
        return c.rule != nullptr && c.rule->algorithm == algorithm::concurrency && c.cost > 0;
    };
    how.record_ttl = options.keep;
    bool leases = false;
    for (auto const& c : charges) {
        if (!held(c))
            continue;
        leases = true;
        auto const window = terms_of(*c.rule, c.user.text()).window;
        how.record_ttl = std::max(how.record_ttl, std::chrono::ceil<std::chrono::milliseconds>(window));
    }
    if (options.keep < min_window || options.keep > max_window)
        return errc::invalid_argument;
    auto const id = [&]() -> std::string {
        if (how.order != check_order::decide || !leases)
            return std::string{options.request_id};
        how.order = check_order::once;
        return random_id();
    }();
    if (how.order != check_order::decide && id.empty())
        return errc::invalid_argument;
    if (check.result)
        check.result->request_id = id;
    return check.request.assign(charges, options_.key_prefix, layout_, id);
}

WEIR_DECL limiter_state::beginning limiter_state::begin(check_order order, std::span<charge const> charges,
                                                        request_options const& options, decision* result,
                                                        settlement* settled) {
    if (result) {
        result->allowed = false;
        result->rules.clear();
        result->waited = {};
    }
    auto* const check = take();
    check->result = result;
    check->settled = settled;
    check->form = {};
    check->form.order = order;
    auto const answered = [&](error_code ec) {
        free_.push_back(check);
        return beginning{nullptr, ec};
    };
    if (auto const ec = assign(*check, charges, options))
        return answered(ec);
    auto const& request = check->request;
    if (!shares_call(*check))
        flush();
    if (settled)
        options_.local->release(request);
    if (settled && request.decided_by_lists()) {
        settled->rules.assign(request.items().size(), {});
        return answered({});
    }
    if (settled && gate_.open())
        return answered(errc::not_connected);
    if (result && answered_here(*check))
        return answered({});
    if (layout_ == key_layout::cluster && request.key_count() > 1 && request.slots().size() > 1)
        return {check, {}, true};
    if (!shares_call(*check))
        request.encode(check->command, check->form);
    return {check, {}};
}

/// Decides what needs no Redis, or cannot have it.
WEIR_DECL bool limiter_state::answered_here(pending_check& check) {
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
    if (!refusals_.enabled() && !leasable)
        return false;
    check.begun = boot_microseconds();
    return (plain && refusals_.enabled() && refuse_as_before(request, check.begun, out)) ||
           (leasable && use_stock(request, check.begun, out));
}

WEIR_DECL bool limiter_state::decide_at_once(std::span<charge const> charges, decision& result) {
    result.rules.clear();
    result.request_id.clear();
    result.waited = {};
    auto* const check = take();
    check->result = &result;
    check->settled = nullptr;
    check->form = {};
    bool const done = !check->request.assign(charges, options_.key_prefix, layout_) && answered_here(*check);
    free_.push_back(check);
    return done && (result.allowed || result.error || !may_wait(charges, {}));
}

/// Admits from what is charged already, and sees to it that there is more.
WEIR_DECL bool limiter_state::use_stock(check_request const& request, std::chrono::microseconds now, decision& out) {
    if (layout_ == key_layout::cluster && request.slots().size() > 1)
        return false;
    auto* const shelf = stock_.ask(request, now);
    if (!shelf)
        return false;
    bool const used = stock_.use(*shelf, request.units(), now);
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
                           if (!ec)
                               shelf.room = least_remaining(mine->said);
                           if (ec || !mine->said.allowed)
                               return self->stock_.not_filled(shelf, boot_microseconds());
                           self->stock_.filled(shelf, units, now, receipt, shelf.room);
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
        if (said.allowed || said.outcome != outcome::deny || said.listed || said.retry_after == never ||
            item.rule->penalty.after > 0 || item.terms.algorithm == algorithm::concurrency)
            continue;
        refusals_.remember(check.request.key(item.key),
                           {rule_id(*item.rule), std::max<std::uint64_t>(item.cost, 1), said.remaining, check.begun,
                            check.begun + said.retry_after, check.begun + said.reset_after});
    }
}

WEIR_DECL void limiter_state::enqueue(pending_check* check, asio::any_completion_handler<void(error_code)>&& handler) {
    check->handler.swap(handler);
    auto const ticket = ++check->ticket;
    if (auto slot = asio::get_associated_cancellation_slot(check->handler); slot.is_connected())
        slot.assign([this, check, ticket](asio::cancellation_type) { cancel(check, ticket); });
    waiting_.push_back(check);
    if (waiting_.size() == 1)
        asio::post(get_executor(), [self = shared_from_this()] { self->flush(); });
}

WEIR_DECL void limiter_state::flush() {
    if (waiting_.empty())
        return;
    sending_.swap(waiting_);
    for (std::span<pending_check* const> left = sending_; !left.empty();)
        left = left.subspan(send_shared(left));
    sending_.clear();
}

WEIR_DECL void limiter_state::send_alone(pending_check* check) {
    check->request.encode(check->command, check->form);
    client_.async_exec(check->command, check->reply, redis::exec_options{},
                       [self = shared_from_this(), check](error_code ec) {
                           if (!ec && check->handler)
                               ec = self->read(*check, check->reply.integers());
                           self->tell(check, ec);
                       });
}

/// Sends as many as fit into one call, one at least; returns how many.
WEIR_DECL std::size_t limiter_state::send_shared(std::span<pending_check* const> checks) {
    if (checks.size() == 1) {
        send_alone(checks.front());
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
    client_.async_exec(call.command, call.reply, redis::exec_options{},
                       [self = shared_from_this(), &call](error_code ec) { self->finish_shared(call, ec); });
    return taken;
}

WEIR_DECL void limiter_state::finish_shared(shared_call& call, error_code ec) {
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
    auto const executor = asio::get_associated_executor(handler, get_executor());
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

WEIR_DECL error_code limiter_state::finish(pending_check* check, error_code ec) {
    if (!ec)
        ec = check->settled ? check->request.decode(check->reply, check->form, *check->settled)
                            : read(*check, check->reply.integers());
    return conclude_failure(check, ec);
}

WEIR_DECL error_code limiter_state::read(pending_check& check, std::span<std::int64_t const> reply) {
    std::int64_t receipt = 0;
    auto const ec = check.request.decode(reply, check.form, *check.result, receipt);
    if (ec)
        return ec;
    if (!check.result->allowed && refusals_.enabled())
        remember(check);
    if (check.form.order == check_order::decide && check.request.leasable())
        stock_.told(check.request, least_remaining(*check.result));
    return ec;
}

/// Redis has answered: what was admitted without it is charged now, so that an outage is no amnesty.
WEIR_DECL void limiter_state::succeeded() {
    bool const was_away = gate_.open();
    gate_.on_success();
    if (was_away)
        pay_debts();
}

WEIR_DECL void limiter_state::pay_debts() {
    struct payment {
        std::vector<local_engine::debt> left;
        redis::command command;
        check_reply reply;
    };
    auto const now = boot_microseconds();
    auto debts = options_.local->take_debts(now);
    constexpr std::size_t lanes = 32;
    for (std::size_t lane = 0; lane < std::min(lanes, debts.size()); ++lane) {
        auto const mine = std::make_shared<payment>();
        for (auto i = lane; i < debts.size(); i += lanes)
            mine->left.push_back(std::move(debts[i]));
        // One after the other; where Redis is lost again, the rest is forgiven.
        auto const next = [self = shared_from_this(), mine](auto const& again, error_code ec) -> void {
            if (ec || mine->left.empty())
                return;
            auto const& debt = mine->left.back();
            mine->command.clear().evalsha(rate_check_script(), 1, 1).arg(debt.key).arg(debt.packed);
            mine->left.pop_back();
            self->client_.async_exec(mine->command, mine->reply, redis::exec_options{},
                                     [again](error_code failed) { again(again, failed); });
        };
        next(next, {});
    }
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
    if (!ec || ec == errc::unknown_request || ec == errc::already_settled || ec == errc::request_id_reused) {
        succeeded();
    } else if (ec != errc::cancelled && ec != errc::cancelled_unsent) {
        // A node of a cluster that is away is no reason to leave the others unasked.
        bool const of_one_node = layout_ == key_layout::cluster && client_.connected();
        if (!of_one_node && gate_.on_failure(ec))
            schedule_probe();
        if (result) {
            decide_without_redis(check->request, ec, *result);
            return {};
        }
    }
    if (ec && result) {
        result->allowed = false;
        result->rules.clear();
    }
    return ec;
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

WEIR_DECL error_code limiter_state::begin_refund(redis::command& out, std::span<charge const> charges) {
    flush();
    check_request request;
    // A lease is ended by settling its request: without the id nobody knows whose it would be.
    for (auto const& c : charges)
        if (c.rule != nullptr && c.rule->algorithm == algorithm::concurrency)
            return errc::invalid_argument;
    if (auto const ec = request.assign(charges, options_.key_prefix, layout_))
        return ec;
    if (layout_ == key_layout::cluster && request.slots().size() > 1)
        return errc::cross_slot;
    for (std::size_t k = 0; k < request.key_count(); ++k)
        refusals_.forget(request.key(k));
    request.encode_refund(out, std::nullopt, std::nullopt);
    return {};
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
}

WEIR_DECL void limiter_state::begin_reset(redis::command& out, key_part user, key_part endpoint) {
    std::string key;
    append_rate_key(key, options_.key_prefix, user, endpoint, layout_);
    flush();
    refusals_.forget(key);
    out.clear().evalsha(rate_reset_script(), 1, 2 * rules_.size()).arg(key);
    for (auto const& one : rules_) {
        std::array<char, 4> id;
        put_integer<4>(id.data(), rule_id(one));
        out.arg(std::string_view{id.data(), id.size()});
        put_integer<4>(id.data(), penalty_id(one));
        out.arg(std::string_view{id.data(), id.size()});
        options_.local->reset(one, key);
    }
    stock_.forget(key);
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
                               self->succeeded();
                           } else if (!self->stopped_ && ec != errc::client_closed) {
                               self->gate_.on_failure(ec);
                               self->schedule_probe();
                           }
                       });
}

WEIR_DECL void limiter_state::stop() noexcept {
    stopped_ = true;
    try {
        subscription_.reset();
        if (changes_)
            changes_->close();
        return_timer_.cancel();
        beat_timer_.cancel();
        give_back(std::chrono::microseconds::max());
        probe_timer_.cancel();
    } catch (std::exception const&) { // cancelling fails only where nothing waits; what is not given back runs out
    }
}

inline std::vector<rule> checked_rules(std::vector<rule> rules) {
    if (rules.size() > max_rules_per_check)
        throw std::invalid_argument("a limiter takes at most " + std::to_string(max_rules_per_check) + " rules");
    std::set<std::uint32_t> ids;
    for (auto const& one : rules) {
        if (auto const problem = problem_of(one); !problem.empty())
            throw std::invalid_argument("rule " + one.name + ": " + problem);
        if (!ids.insert(rule_id(one)).second)
            throw std::invalid_argument("rule " + one.name + ": another rule has this name or its hash; rename one");
    }
    return rules;
}

} // namespace detail

WEIR_DECL limiter::limiter(redis::client& client, std::vector<rule> rules, limiter_options options)
    : state_(std::make_shared<detail::limiter_state>(client, detail::checked_rules(std::move(rules)),
                                                     std::move(options))) {
    state_->start();
}

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
