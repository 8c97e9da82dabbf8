#pragma once

#include <weir/detail/config.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include <cmath>

namespace weir::circuit {

/// What a window is made of.
enum class window_kind : std::uint8_t {
    /// The results of the last `window_time`, in ten buckets.
    time,
    /// The last `window_calls` results.
    count,
};

/// The longest time that any setting may name.
inline constexpr std::chrono::milliseconds longest = std::chrono::hours{24 * 366};

/// When a circuit opens, for how long, and what closes it again. The defaults suit an HTTP service. Instances of a
/// fleet that share a circuit should use the same: whoever reports is judged by what he brings.
struct settings {
    window_kind window = window_kind::time;
    /// Of a time window: 10 ms to `longest`.
    std::chrono::milliseconds window_time{std::chrono::seconds{10}};
    /// Of a count window: 1 to 100 000.
    std::uint32_t window_calls = 100;
    /// Nothing trips before the window holds so many results; 1 or more. That of a count window is at most its size.
    std::uint32_t minimum_calls = 20;
    /// Trips when this share of the results are failures: above 0, to 1.
    double failure_rate = 0.5;
    /// A call that took strictly longer is slow; 0: none is.
    std::chrono::milliseconds slow_call{0};
    /// Trips when this share of the results are slow: above 0, to 1.
    double slow_rate = 1.0;
    /// Trips when so many results in a row are failures; 0: never for that reason.
    std::uint32_t consecutive_failures = 0;

    /// How long it stays open the first time: 1 ms to `longest`.
    std::chrono::milliseconds open_for{std::chrono::seconds{5}};
    /// Each opening lasts so many times as long as the one before it: 1 to 100.
    double open_backoff = 2.0;
    /// Up to this: `open_for` to `longest`.
    std::chrono::milliseconds open_max{std::chrono::minutes{5}};
    /// Up to this share of the wait is added to it at random, so that circuits do not come back in step: 0 to 1.
    double jitter = 0.1;
    /// What opens again within this time after it closed is taken for the same trouble: the wait goes on growing.
    std::chrono::milliseconds healthy_for{std::chrono::seconds{10}};

    /// Probes at most in flight while half open, over the fleet: 1 to 1000. `min(minimum_calls, this)` results judge.
    std::uint32_t half_open_calls = 3;
    /// A half-open circuit is judged after this time by the results that are there; without any it is open again.
    std::chrono::milliseconds half_open_for{std::chrono::seconds{30}};
    /// A probe of which nothing is heard for so long is given up, and another may go.
    std::chrono::milliseconds probe_timeout{std::chrono::seconds{10}};
    /// The shares of the traffic, in percent, that follow on good probes before it closes, each for `ramp_step`, such
    /// as {1, 10, 50}: at most 8, growing, 1 to 99. Empty: it closes at once.
    std::vector<std::uint8_t> ramp{};
    std::chrono::milliseconds ramp_step{std::chrono::seconds{1}};

    /// How many instances must see the trouble before the fleet's circuit opens; never more than a majority of those
    /// that have traffic, which 0 stands for.
    std::uint32_t trip_quorum = 0;

    /// The minimum that holds: a count window's is clamped to its size.
    std::uint32_t minimum() const noexcept {
        return window == window_kind::count && minimum_calls > window_calls ? window_calls : minimum_calls;
    }
    /// How many probes judge.
    std::uint32_t probes_needed() const noexcept { return minimum() < half_open_calls ? minimum() : half_open_calls; }

    friend bool operator==(settings const&, settings const&) = default;
};

/// Throws `std::invalid_argument` that names the circuit, the field and its range where a field is out of it.
WEIR_DECL void validate(settings const& how, std::string_view circuit);

/// A share as the integer by which circuits are judged, here and in Redis: millionths, at least one.
inline std::uint64_t millionths(double share) noexcept {
    auto const result = static_cast<std::uint64_t>(std::llround(share * 1e6));
    return result == 0 ? 1 : result;
}

/// How long the opening number `openings` (1 the first) lasts: grown, capped, and with `random` (0 to 9999) ten
/// thousandths of the jitter. To the millisecond what lua/parts/circuit_state.lua computes.
WEIR_DECL std::chrono::milliseconds wait_of(settings const& how, std::uint32_t openings, std::uint32_t random) noexcept;

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/settings.ipp>
#endif
