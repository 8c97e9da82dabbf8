#pragma once

#include <weir/circuit/window.hpp>

#include <chrono>
#include <cstdint>

namespace weir::circuit {

/// Sheds calls in proportion to what the upstream refuses, instead of all or none: the chance of a refusal is
/// `max(0, (requests - K * accepts) / (requests + 1))` over a window ("Handling Overload", Site Reliability
/// Engineering, ch. 21). With K = 2 the upstream gets about twice what it accepts, and its recovery is seen at once.
///
/// Time is an argument, and the random numbers come from a seed. Distinct objects: safe; shared objects: unsafe.
class adaptive_throttle {
public:
    struct options {
        /// 1 (never more than it accepts) to 1000.
        double k = 2.0;
        /// 10 ms or more.
        std::chrono::milliseconds window{std::chrono::minutes{2}};
    };

    /// Throws `std::invalid_argument` where an option is out of range.
    WEIR_DECL adaptive_throttle(options how, std::uint64_t seed);

    /// Whether a call may be made; either way it counts as a request.
    WEIR_DECL bool try_acquire(time_point now) noexcept;
    /// The upstream accepted a call: its answer was not a refusal for overload.
    WEIR_DECL void accepted(time_point now) noexcept;
    /// The chance that the next call is refused, in millionths.
    WEIR_DECL std::uint64_t refusal_rate(time_point now) noexcept;

private:
    WEIR_DECL static settings window_of(options const& how);

    std::uint64_t k_;
    // Requests are its calls, accepts a window of their own: they come later.
    window requests_;
    window accepts_;
    std::uint64_t seed_;
};

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/adaptive_throttle.ipp>
#endif
