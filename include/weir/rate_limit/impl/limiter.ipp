#pragma once

#include <weir/detail/random_id.hpp>
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
    if (result && answered_here(*check, false))
        return answered({});
    if (shares_call(*check)) // whoever sends the call knows the rest
        return {check, {}};
    check->sent = boot_microseconds();
    if (on_several_nodes(request))
        return {check, {}, true};
    request.encode(check->command, check->form);
    return {check, {}};
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

WEIR_DECL error_code limiter_state::begin_refund(redis::command& out, std::span<charge const> charges) {
    flush();
    check_request request;
    // A lease is ended by settling its request: without the id nobody knows whose it would be.
    for (auto const& c : charges)
        if (c.rule != nullptr && c.rule->algorithm == algorithm::concurrency)
            return errc::invalid_argument;
    if (auto const ec = request.assign(charges, options_.key_prefix, layout_))
        return ec;
    if (on_several_nodes(request))
        return errc::cross_slot;
    for (std::size_t k = 0; k < request.key_count(); ++k)
        refusals_.forget(request.key(k));
    request.encode_refund(out, std::nullopt, std::nullopt);
    return {};
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
