#pragma once

#include <weir/detail/packed.hpp>
#include <weir/rate_limit/permit_stock.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir {
namespace detail {

/// Below that many units, a block is not worth its trip.
inline constexpr std::uint64_t least_block = 8;

/// A block is at most this part of what is left: another instance must find enough for its own.
inline constexpr std::uint64_t share_of_room = 4;

} // namespace detail

WEIR_DECL void permit_stock::name_of(check_request const& request) {
    name_.clear();
    for (auto const& one : request.items()) {
        if (one.listed)
            continue;
        name_ += request.key(one.key);
        std::array<char, 1 + 4 + 3 * 6> packed{};
        auto* end = detail::put_integer<4>(packed.data() + 1, rule_id(*one.rule));
        end = detail::put_integer<6>(end, one.terms.limit);
        end = detail::put_integer<6>(end, static_cast<std::uint64_t>(one.terms.window.count()));
        detail::put_integer<6>(end, static_cast<std::uint64_t>(one.terms.lease.count()));
        name_.append(packed.data(), packed.size());
    }
}

WEIR_DECL permit_stock::shelf* permit_stock::shelf_of(check_request const& request, microseconds now) {
    name_of(request);
    auto at = shelves_.find(name_);
    if (at == shelves_.end()) {
        if (shelves_.size() >= limit_) {
            auto const idle = std::find_if(shelves_.begin(), shelves_.end(), [](auto const& each) {
                return each.second.blocks.empty() && !each.second.filling;
            });
            if (idle == shelves_.end())
                return nullptr;
            shelves_.erase(idle);
        }
        at = shelves_.try_emplace(name_).first;
        at->second.request = request;
        at->second.rules = at->second.request.own_rules();
        at->second.lease = request.lease();
        at->second.period = now;
    }
    auto& one = at->second;
    if (auto const elapsed = now - one.period; elapsed >= one.lease) {
        one.asked_before = elapsed < 2 * one.lease ? one.asked : 0;
        one.asked = 0;
        one.period = now;
    }
    return &one;
}

WEIR_DECL bool permit_stock::use(shelf& from, std::uint64_t units, microseconds now) {
    for (auto& one : from.blocks) {
        if (now >= one.ends || one.left < units)
            continue;
        one.left -= units;
        so_far_.used += units;
        return true;
    }
    return false;
}

WEIR_DECL std::uint64_t permit_stock::wanted(shelf& of, microseconds now, unsigned instances) {
    if (of.filling || now < of.not_before)
        return 0;
    std::uint64_t stock = 0;
    for (auto const& one : of.blocks)
        stock += now < one.ends ? one.left : 0;
    auto const demand = std::max(of.asked, of.asked_before);
    auto const units = std::min(demand, of.room / (detail::share_of_room * std::max(instances, 1u)));
    if (units < detail::least_block || stock >= (units + 1) / 2)
        return 0;
    of.filling = true;
    return units;
}

WEIR_DECL void permit_stock::filled(shelf& to, std::uint64_t units, microseconds asked, std::int64_t receipt,
                                    std::uint64_t room) {
    to.filling = false;
    to.room = room;
    if (std::exchange(to.forgotten, false))
        return;
    std::erase_if(to.blocks, [](block const& one) { return one.left == 0; });
    to.blocks.push_back({units, asked + to.lease, receipt});
    so_far_.taken += units;
}

WEIR_DECL void permit_stock::not_filled(shelf& to, microseconds now) {
    to.filling = to.forgotten = false;
    to.not_before = now + to.lease / 4;
}

WEIR_DECL void permit_stock::told(check_request const& request, std::uint64_t room) {
    name_of(request);
    if (auto const at = shelves_.find(name_); at != shelves_.end())
        at->second.room = room;
}

WEIR_DECL std::vector<permit_stock::remainder> permit_stock::take_ended(microseconds now) {
    std::vector<remainder> ended;
    for (auto& [name, one] : shelves_) {
        while (!one.blocks.empty() && now >= one.blocks.front().ends) {
            if (auto const& front = one.blocks.front(); front.left > 0) {
                ended.push_back({&one, front});
                so_far_.returned += front.left;
            }
            one.blocks.pop_front();
        }
    }
    return ended;
}

WEIR_DECL permit_stock::microseconds permit_stock::next_end() const noexcept {
    auto first = microseconds::max();
    for (auto const& [name, one] : shelves_)
        if (!one.blocks.empty())
            first = std::min(first, one.blocks.front().ends);
    return first;
}

WEIR_DECL void permit_stock::forget(std::string_view key) {
    for (auto& [name, one] : shelves_)
        for (std::size_t k = 0; k < one.request.key_count(); ++k)
            if (one.request.key(k) == key) {
                one.blocks.clear();
                one.forgotten = one.filling;
            }
}

} // namespace weir
