#pragma once

#include <weir/detail/random_id.hpp>
#include <weir/rate_limit/local_engine.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace weir {
namespace detail {

inline void tell(rate_answer const& answer, rule_decision& to) noexcept {
    using std::chrono::milliseconds;
    to.allowed = answer.admitted;
    to.remaining = answer.remaining;
    to.retry_after = answer.retry_after.count() < 0 ? never : std::chrono::ceil<milliseconds>(answer.retry_after);
    to.reset_after = std::chrono::ceil<milliseconds>(answer.reset_after);
}

} // namespace detail

WEIR_DECL local_engine::local_engine(options settings)
    : options_(settings)
    , instances_(settings.instances)
    , id_(detail::random_id()) {}

WEIR_DECL rule_terms local_engine::share(rule_terms terms) const noexcept {
    auto const part = [&](std::uint64_t whole) {
        return whole == 0 ? 0 : std::max<std::uint64_t>(1, whole / instances());
    };
    terms.limit = part(terms.limit);
    terms.burst = part(terms.burst);
    return terms;
}

WEIR_DECL void local_engine::spell(std::string& out, rule const& r, std::string_view key) {
    out.assign(r.name);
    out += '\n'; // in no rule's name
    out += key;
}

WEIR_DECL local_engine::entry& local_engine::find(rule const& r, std::string_view key) {
    spell(name_, r, key);
    if (auto const found = index_.find(name_); found != index_.end()) {
        entries_.splice(entries_.begin(), entries_, found->second);
        return entries_.front();
    }
    if (index_.size() >= options_.max_windows) {
        index_.erase(entries_.back().name);
        entries_.pop_back();
    }
    entries_.emplace_front().name = name_;
    index_.emplace(entries_.front().name, entries_.begin());
    return entries_.front();
}

WEIR_DECL bool local_engine::ask(check_request const& request, std::size_t index, std::chrono::microseconds now,
                                 rule_decision& to) {
    auto const& item = request.items()[index];
    auto const answer =
        find(*item.rule, request.key(item.key)).state.ask(now, share(item.terms), item.cost, request.holder());
    detail::tell(answer, to);
    return answer.admitted;
}

WEIR_DECL void local_engine::refuse(check_request const& request, std::size_t index, std::chrono::microseconds now,
                                    rule_decision& to) {
    auto const& item = request.items()[index];
    auto& state = find(*item.rule, request.key(item.key)).state;
    auto answer = state.ask(now, share(item.terms), item.cost, request.holder());
    if (answer.admitted || item.cost == 0)
        return;
    state.refuse(now, item.terms, item.rule->penalty, answer);
    detail::tell(answer, to);
}

WEIR_DECL void local_engine::charge(check_request const& request, std::size_t index, std::chrono::microseconds now,
                                    rule_decision& to) {
    auto const& item = request.items()[index];
    auto& one = find(*item.rule, request.key(item.key));
    one.state.charge(now, item.cost, request.holder());
    to.remaining -= item.cost;
    add_to_reset(item, to);
    // A lease is not owed: it ends with its request, of which Redis has no record.
    if (item.terms.algorithm == algorithm::concurrency)
        return;
    one.owed = now < one.counts_until ? one.owed + item.cost : item.cost;
    one.counts_until = now + std::chrono::microseconds{to.window};
    one.key = request.key(item.key);
    one.packed = request.pack_forced(index, std::min(one.owed, max_cost));
}

WEIR_DECL std::vector<local_engine::debt> local_engine::take_debts(std::chrono::microseconds now) {
    std::lock_guard const lock{mutex_};
    std::vector<debt> all;
    for (auto& one : entries_) {
        if (one.owed > 0 && now < one.counts_until)
            all.push_back({std::move(one.key), std::move(one.packed), one.counts_until});
        one.owed = 0;
    }
    return all;
}

WEIR_DECL void local_engine::decide(check_request const& request, std::chrono::microseconds now, bool others_admit,
                                    decision& out) {
    std::lock_guard const lock{mutex_};
    now = now_ = std::max(now_, now);
    auto const ours = [&](std::size_t i) { return out.rules[i].outcome == outcome::error_local; };
    bool admitted = others_admit;
    for (std::size_t i = 0; i < out.rules.size(); ++i)
        if (ours(i) && !ask(request, i, now, out.rules[i]) && !request.items()[i].rule->shadow)
            admitted = false;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto& one = out.rules[i];
        auto const& item = request.items()[i];
        if (!ours(i))
            continue;
        if (!admitted) {
            refuse(request, i, now, one);
        } else if (one.allowed && item.cost > 0) {
            charge(request, i, now, one);
        }
        if (item.rule->shadow && !one.allowed)
            one.outcome = outcome::shadow_deny;
    }
}

WEIR_DECL void local_engine::release(check_request const& request) {
    std::lock_guard const lock{mutex_};
    for (auto const& item : request.items()) {
        if (item.listed || item.terms.algorithm != algorithm::concurrency)
            continue;
        spell(name_, *item.rule, request.key(item.key));
        if (auto const found = index_.find(name_); found != index_.end())
            found->second->state.release(request.holder());
    }
}

WEIR_DECL void local_engine::reset(rule const& r, std::string_view key) {
    std::lock_guard const lock{mutex_};
    spell(name_, r, key);
    if (auto const found = index_.find(name_); found != index_.end()) {
        auto const position = found->second;
        index_.erase(found);
        entries_.erase(position);
    }
}

WEIR_DECL std::size_t local_engine::size() const {
    std::lock_guard const lock{mutex_};
    return index_.size();
}

} // namespace weir
