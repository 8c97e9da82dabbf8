#pragma once

#include <chrono>
#include <ctime>

namespace weir {

/// The clock of every local deadline: monotonic, unaffected by wall-clock steps, and counting the time the machine
/// spends suspended (`CLOCK_BOOTTIME`, clock_gettime(2)), so that a laptop or a paused virtual machine wakes up with
/// its deadlines already past.
///
/// Meets the requirements of *TrivialClock*; usable with `asio::basic_waitable_timer`. Thread safety: safe.
struct boot_clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<boot_clock>;
    static constexpr bool is_steady = true;

    static time_point now() noexcept {
        timespec t{};
        ::clock_gettime(CLOCK_BOOTTIME, &t);
        return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
    }
};

} // namespace weir
