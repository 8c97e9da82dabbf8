#pragma once

#include <weir/key.hpp>
#include <weir/rate_limit/rule.hpp>

#include <cstddef>
#include <cstdint>

namespace weir {

/// The most rules that one request may ask.
inline constexpr std::size_t max_rules_per_check = 16;

/// One rule asked by one request: who, for what, and how much.
struct charge {
    /// Not null; must stay valid until the check completes.
    weir::rule const* rule = nullptr;
    key_part user;
    key_part endpoint;
    /// 1 to `max_cost`; 0 asks whether one unit has room and charges nothing.
    std::uint64_t cost = 1;
};

} // namespace weir
