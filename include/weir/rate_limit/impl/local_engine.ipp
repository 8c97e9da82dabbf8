#pragma once

#include <weir/rate_limit/local_engine.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace weir {

WEIR_DECL std::uint64_t local_engine::share(rule const& r) const noexcept {
    return r.limit == 0 ? 0 : std::max<std::uint64_t>(1, r.limit / options_.instances);
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
    entries_.push_front({name_, {}});
    index_.emplace(entries_.front().name, entries_.begin());
    return entries_.front();
}

WEIR_DECL void local_engine::decide(check_request const& request, std::chrono::microseconds now, bool others_admit,
                                    decision& out) {
    std::lock_guard const lock{mutex_};
    now = now_ = std::max(now_, now);
    bool admitted = others_admit;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto& one = out.rules[i];
        if (one.outcome != outcome::error_local)
            continue;
        auto const& item = request.items()[i];
        auto const answer =
            find(*item.rule, request.key(item.key)).window.ask(now, share(*item.rule), item.rule->window, item.cost);
        one.allowed = answer.admitted;
        one.remaining = answer.remaining;
        one.retry_after =
            answer.retry_after.count() < 0 ? never : std::chrono::ceil<std::chrono::milliseconds>(answer.retry_after);
        one.reset_after = std::chrono::ceil<std::chrono::milliseconds>(answer.reset_after);
        admitted = admitted && answer.admitted;
    }
    if (!admitted)
        return;
    for (std::size_t i = 0; i < out.rules.size(); ++i) {
        auto& one = out.rules[i];
        auto const& item = request.items()[i];
        if (one.outcome != outcome::error_local || item.cost == 0)
            continue;
        find(*item.rule, request.key(item.key)).window.charge(now, item.cost);
        one.remaining -= item.cost;
        one.reset_after = item.rule->window;
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
