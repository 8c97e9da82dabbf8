#pragma once

#include <weir/rate_limit/lease_table.hpp>
#include <weir/rate_limit/window.hpp>

#include <algorithm>

namespace weir {

WEIR_DECL rate_answer lease_table::ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t holder,
                                       std::uint64_t cost) {
    window_ = window;
    auto const live = std::find_if(leases_.begin(), leases_.end(), [&](lease const& l) { return l.end > now; });
    for (auto l = leases_.begin(); l != live; ++l)
        used_ -= l->units;
    leases_.erase(leases_.begin(), live);

    rate_answer result;
    if (!leases_.empty())
        result.reset_after = leases_.back().end - now;
    auto used = used_;
    auto const own = [&](lease const& l) { return cost > 0 && l.holder == holder; };
    if (auto const held = std::find_if(leases_.begin(), leases_.end(), own); held != leases_.end())
        used -= held->units;
    auto const need = std::max<std::uint64_t>(cost, 1);
    result.remaining = limit > used ? limit - used : 0;
    result.admitted = need <= limit && used + need <= limit;
    if (need > limit) {
        result.retry_after = microseconds{-1};
    } else if (!result.admitted) {
        auto room = used + need - limit;
        for (auto const& l : leases_) {
            if (own(l))
                continue;
            result.retry_after = l.end - now;
            if (l.units >= room)
                break;
            room -= l.units;
        }
    }
    return result;
}

WEIR_DECL void lease_table::charge(microseconds now, std::uint64_t holder, std::uint64_t cost) {
    release(holder);
    auto const unit = log_unit(window_);
    auto end = static_cast<std::int64_t>(detail::ceil_units(now, unit) + detail::ceil_units(window_, unit)) * unit;
    if (!leases_.empty())
        end = std::max(end, leases_.back().end);
    leases_.push_back({end, cost, holder});
    used_ += cost;
}

WEIR_DECL std::uint64_t lease_table::release(std::uint64_t holder) {
    auto const held = std::find_if(leases_.begin(), leases_.end(), [&](lease const& l) { return l.holder == holder; });
    if (held == leases_.end())
        return 0;
    auto const units = held->units;
    used_ -= units;
    leases_.erase(held);
    return units;
}

} // namespace weir
