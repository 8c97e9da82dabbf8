#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/answer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

/// Limits up to this are exact: the time of every unit charged is kept.
inline constexpr std::uint64_t exact_limit = 128;

/// Past `exact_limit`, units are counted by slots of this part of a window, and count at most one slot too long. It
/// divides every window, windows being whole milliseconds.
inline constexpr int window_slots = 40;

/// How a sliding window keeps what was charged. A log keeps the time of each unit, rounded up to `unit` (1 us for
/// windows up to 8 minutes, below a 500 millionth of the window for longer ones); counters keep one sum for each slot
/// of time of length `unit`, and a slot counts in full until a window after its end. So a unit may count up to one
/// `unit` too long, and never too short.
struct window_shape {
    /// The number of the algorithm in lua/rate_check.lua: 1 a log, 34, 36 and 38 counters of 2, 4 and 6 bytes.
    std::uint8_t kind = 1;
    std::chrono::microseconds unit{1};

    bool log() const noexcept { return kind == 1; }
    friend bool operator==(window_shape const&, window_shape const&) = default;
};

/// The unit of the times that are kept one by one: they are kept modulo 2^32 units, and what is kept is at most two and
/// a quarter windows old.
inline std::chrono::microseconds log_unit(std::chrono::microseconds window) noexcept {
    return std::chrono::microseconds{(window.count() + (1 << 29) - 1) / (1 << 29)};
}

inline window_shape shape_of(std::uint64_t limit, std::chrono::microseconds window) noexcept {
    if (limit <= exact_limit)
        return {1, log_unit(window)};
    std::uint8_t const counters = limit < (1u << 16) ? 34 : limit < (std::uint64_t{1} << 32) ? 36 : 38;
    return {counters, std::chrono::microseconds{(window.count() + window_slots - 1) / window_slots}};
}

namespace detail {

/// A time in whole units, counted from the clock's beginning.
inline std::uint64_t floor_units(std::chrono::microseconds t, std::chrono::microseconds unit) noexcept {
    return static_cast<std::uint64_t>(t / unit);
}
inline std::uint64_t ceil_units(std::chrono::microseconds t, std::chrono::microseconds unit) noexcept {
    return static_cast<std::uint64_t>((t + unit - std::chrono::microseconds{1}) / unit);
}

} // namespace detail

/// The sliding window of one rule and one key in memory: what lua/rate_check.lua keeps in Redis, to the microsecond.
///
/// Time is an argument, not negative, and never steps back. A rule may change between calls: what was charged under
/// another shape counts as charged when the last of it was. Distinct objects: safe; shared objects: unsafe.
class sliding_window {
public:
    using microseconds = std::chrono::microseconds;

    /// Whether `cost` units have room at `now`; 0 asks for room for one. Charges nothing.
    WEIR_DECL rate_answer ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t cost);

    /// Charges `cost` units at `now`. Precondition: `ask` admitted them at that time, with nothing in between.
    WEIR_DECL void charge(microseconds now, std::uint64_t cost);

    /// Times or counts kept.
    std::size_t size() const noexcept { return kept_.size(); }

private:
    WEIR_DECL void adapt(microseconds now, std::uint64_t limit, microseconds window);
    WEIR_DECL void drop_expired(microseconds now, microseconds window);
    WEIR_DECL microseconds end_of_newest(microseconds window) const;
    WEIR_DECL microseconds end_of(std::uint64_t units, microseconds window) const;

    window_shape shape_;
    /// A log: the times of the units in `shape_.unit`, oldest first. Counters: the sums, newest slot first.
    std::vector<std::uint64_t> kept_;
    std::uint64_t newest_slot_ = 0;
    std::uint64_t used_ = 0;
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/window.ipp>
#endif
