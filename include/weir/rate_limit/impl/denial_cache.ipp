#pragma once

#include <weir/rate_limit/denial_cache.hpp>

#include <algorithm>

namespace weir {

WEIR_DECL void denial_cache::remember(std::string_view key, denial const& what) {
    if (!enabled())
        return;
    auto at = known_.find(key);
    if (at == known_.end()) {
        if (known_.size() >= limit_)
            known_.erase(known_.begin()); // whichever: each costs one question
        at = known_.emplace(key, std::vector<denial>{}).first;
    }
    auto& all = at->second;
    auto const same = std::find_if(all.begin(), all.end(), [&](denial const& d) { return d.rule_id == what.rule_id; });
    if (same == all.end())
        all.push_back(what);
    else
        *same = what;
}

WEIR_DECL denial_cache::denial const* denial_cache::find(std::string_view key, std::uint32_t rule_id,
                                                         std::uint64_t cost, microseconds now) {
    if (known_.empty())
        return nullptr;
    auto const at = known_.find(key);
    if (at == known_.end())
        return nullptr;
    auto& all = at->second;
    std::erase_if(all, [&](denial const& d) { return now >= d.retry_at || now - d.asked >= trusted; });
    if (all.empty()) {
        known_.erase(at);
        return nullptr;
    }
    auto const found =
        std::find_if(all.begin(), all.end(), [&](denial const& d) { return d.rule_id == rule_id && d.cost <= cost; });
    return found == all.end() ? nullptr : &*found;
}

WEIR_DECL void denial_cache::forget(std::string_view key) {
    if (auto const at = known_.find(key); at != known_.end())
        known_.erase(at);
}

} // namespace weir
