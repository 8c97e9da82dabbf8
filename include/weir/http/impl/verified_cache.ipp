#pragma once

#include <weir/http/verified_cache.hpp>

namespace weir::http {

WEIR_DECL verified_identity const* verified_cache::find(std::string_view credential, std::chrono::sys_seconds now) {
    auto const digest = weir::detail::sha256(credential);
    auto found = young_.find(digest);
    if (found == young_.end()) {
        auto const before = old_.find(digest);
        if (before == old_.end())
            return nullptr;
        auto node = old_.extract(before);
        make_room();
        found = young_.insert(std::move(node)).position;
    }
    if (now < found->second.expires)
        return &found->second;
    young_.erase(found);
    return nullptr;
}

WEIR_DECL verified_identity const& verified_cache::remember(std::string_view credential, verified_identity who) {
    make_room();
    return young_.insert_or_assign(weir::detail::sha256(credential), std::move(who)).first->second;
}

WEIR_DECL void verified_cache::make_room() {
    if (young_.size() < half_)
        return;
    old_.swap(young_);
    young_.clear();
}

} // namespace weir::http
