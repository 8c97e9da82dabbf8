#pragma once

#include <weir/circuit/state.hpp>

#include <array>

namespace weir::circuit {
namespace detail {

inline constexpr std::array<std::string_view, state_count> state_names{
    "closed", "open", "half_open", "forced_open", "disabled", "metrics_only",
};
inline constexpr std::array<std::string_view, reason_count> reason_names{
    "none",          "failure_rate", "slow_rate", "consecutive_failures", "wait_over",  "probes_failed", "probes_slow",
    "probes_passed", "no_results",   "by_hand",   "override_over",        "state_lost",
};

} // namespace detail

WEIR_DECL std::string_view to_string(state value) noexcept {
    return detail::state_names[static_cast<std::size_t>(value)];
}

WEIR_DECL std::string_view to_string(reason value) noexcept {
    return detail::reason_names[static_cast<std::size_t>(value)];
}

WEIR_DECL std::optional<state> parse_state(std::string_view name) noexcept {
    for (std::size_t i = 0; i < detail::state_names.size(); ++i)
        if (detail::state_names[i] == name)
            return static_cast<state>(i);
    return std::nullopt;
}

} // namespace weir::circuit
