#pragma once

#include <weir/rate_limit/limiter.hpp>

#include <openssl/rand.h>

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

/// A request id that nobody else has: 122 random bits and then some.
inline std::string make_request_id() {
    std::array<unsigned char, 16> bytes;
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("OpenSSL gives no random bytes");
    std::string text;
    for (auto const byte : bytes) {
        text += hex_digits[byte >> 4];
        text += hex_digits[byte & 15];
    }
    return text;
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
        return make_request_id();
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
    if (settled)
        options_.local->release(request);
    if (request.decided_by_lists()) {
        if (result)
            request.decide_by_lists(*result);
        else
            settled->rules.assign(request.items().size(), {});
        return answered({});
    }
    if (gate_.open()) {
        if (!result)
            return answered(errc::not_connected);
        decide_without_redis(request, gate_.reason(), *result);
        return answered({});
    }
    if (layout_ == key_layout::cluster && request.key_count() > 1 && request.slots().size() > 1)
        return {check, {}, true};
    request.encode(check->command, check->form);
    return {check, {}};
}

WEIR_DECL error_code limiter_state::finish(pending_check* check, error_code ec) {
    std::int64_t receipt = 0;
    if (!ec)
        ec = check->settled ? check->request.decode(check->reply, check->form, *check->settled)
                            : check->request.decode(check->reply, check->form, *check->result, receipt);
    return conclude_failure(check, ec);
}

WEIR_DECL error_code limiter_state::conclude_failure(pending_check* check, error_code ec) {
    auto* const result = check->result;
    free_.push_back(check);
    if (!ec || ec == errc::unknown_request || ec == errc::already_settled || ec == errc::request_id_reused) {
        gate_.on_success();
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

WEIR_DECL void limiter_state::roll_back(check_request const& request, std::uint16_t slot, std::int64_t receipt) {
    auto const made = std::make_shared<pending_sum>();
    request.encode_refund(made->command, slot, receipt);
    client_.async_exec(made->command, made->reply, redis::exec_options{}, [made](error_code) {});
}

WEIR_DECL error_code limiter_state::begin_refund(redis::command& out, std::span<charge const> charges) {
    check_request request;
    // A lease is ended by settling its request: without the id nobody knows whose it would be.
    for (auto const& c : charges)
        if (c.rule != nullptr && c.rule->algorithm == algorithm::concurrency)
            return errc::invalid_argument;
    if (auto const ec = request.assign(charges, options_.key_prefix, layout_))
        return ec;
    if (layout_ == key_layout::cluster && request.slots().size() > 1)
        return errc::cross_slot;
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
    auto const now = std::chrono::duration_cast<std::chrono::microseconds>(boot_clock::now().time_since_epoch());
    options_.local->decide(request, now, !closed, out);
    conclude(out);
}

WEIR_DECL void limiter_state::begin_reset(redis::command& out, key_part user, key_part endpoint) {
    std::string key;
    append_rate_key(key, options_.key_prefix, user, endpoint, layout_);
    out.clear().evalsha(rate_reset_script(), 1, 2 * rules_.size()).arg(key);
    for (auto const& one : rules_) {
        std::array<char, 4> id;
        put_integer<4>(id.data(), rule_id(one));
        out.arg(std::string_view{id.data(), id.size()});
        put_integer<4>(id.data(), penalty_id(one));
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
