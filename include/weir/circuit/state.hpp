#pragma once

#include <weir/detail/config.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::circuit {

/// What a circuit does with calls. The numbers are those of lua/parts/circuit_state.lua.
enum class state : std::uint8_t {
    /// Lets calls through and counts their results.
    closed = 0,
    /// Refuses them until its wait is over.
    open = 1,
    /// Lets a few through, by which it is judged; or, on a ramp, a share of the traffic.
    half_open = 2,
    /// Refuses them until told otherwise: set by hand.
    forced_open = 3,
    /// Lets them through, counts nothing, says nothing: set by hand.
    disabled = 4,
    /// Lets them through, counts, and tells when it would have tripped: set by hand.
    metrics_only = 5,
};
inline constexpr int state_count = 6;

/// What came of a call.
enum class outcome : std::uint8_t {
    success,
    failure,
    /// A failure of our own side (no local port, name not resolved, cannot bind): counts here, and is not reported to
    /// the fleet.
    local_failure,
    /// Neither success nor failure: a cancelled call, a refusal of our own, what the classification leaves out.
    ignored,
};

/// Why a circuit changed. The numbers are those of lua/parts/circuit_state.lua.
enum class reason : std::uint8_t {
    none = 0,
    failure_rate = 1,
    slow_rate = 2,
    consecutive_failures = 3,
    /// Open long enough.
    wait_over = 4,
    probes_failed = 5,
    probes_slow = 6,
    probes_passed = 7,
    /// Half open, and nothing was heard of any probe.
    no_results = 8,
    by_hand = 9,
    /// What was set by hand had an end.
    override_over = 10,
    /// Redis forgot the circuit (restart, eviction, failover), which means closed.
    state_lost = 11,
};
inline constexpr int reason_count = 12;

/// The name in metrics, logs and Redis: `half_open` ...
WEIR_DECL std::string_view to_string(state value) noexcept;
WEIR_DECL std::string_view to_string(reason value) noexcept;
WEIR_DECL std::optional<state> parse_state(std::string_view name) noexcept;

/// Whether somebody set it by hand.
constexpr bool is_override(state value) noexcept { return value >= state::forced_open; }

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/state.ipp>
#endif
