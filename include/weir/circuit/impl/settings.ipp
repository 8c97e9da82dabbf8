#pragma once

#include <weir/circuit/settings.hpp>

#include <stdexcept>
#include <string>

#include <cmath>

namespace weir::circuit {

WEIR_DECL void validate(settings const& how, std::string_view circuit) {
    using std::chrono::milliseconds;
    auto const demand = [&](bool holds, std::string_view field, std::string_view range) {
        if (!holds)
            throw std::invalid_argument("circuit " + std::string(circuit) + ": " + std::string(field) + " must be " +
                                        std::string(range));
    };
    auto const within = [](auto value, auto least, auto most) { return value >= least && value <= most; };
    milliseconds const none{0}, one{1};

    demand(within(how.window_time, milliseconds{10}, longest), "window_time", "10 ms to 366 days");
    demand(within(how.window_calls, 1u, 100'000u), "window_calls", "1 to 100000");
    demand(within(how.minimum_calls, 1u, 1'000'000'000u), "minimum_calls", "1 to 1000000000");
    demand(how.failure_rate > 0 && how.failure_rate <= 1, "failure_rate", "above 0, at most 1");
    demand(within(how.slow_call, none, longest), "slow_call", "0 (off) to 366 days");
    demand(how.slow_rate > 0 && how.slow_rate <= 1, "slow_rate", "above 0, at most 1");
    demand(within(how.open_for, one, longest), "open_for", "1 ms to 366 days");
    demand(within(how.open_backoff, 1.0, 100.0), "open_backoff", "1 to 100");
    demand(within(how.open_max, how.open_for, longest), "open_max", "open_for to 366 days");
    demand(within(how.jitter, 0.0, 1.0), "jitter", "0 to 1");
    demand(within(how.healthy_for, none, longest), "healthy_for", "0 to 366 days");
    demand(within(how.half_open_calls, 1u, 1000u), "half_open_calls", "1 to 1000");
    demand(within(how.half_open_for, one, longest), "half_open_for", "1 ms to 366 days");
    demand(within(how.probe_timeout, one, longest), "probe_timeout", "1 ms to 366 days");
    demand(within(how.ramp_step, one, longest), "ramp_step", "1 ms to 366 days");
    demand(how.ramp.size() <= 8, "ramp", "at most 8 shares");
    unsigned before = 0;
    for (unsigned const share : how.ramp) {
        demand(share > before && share < 100, "ramp",
               "shares in percent from 1 to 99, each larger than the one before");
        before = share;
    }
}

WEIR_DECL std::chrono::milliseconds wait_of(settings const& how, std::uint32_t openings,
                                            std::uint32_t random) noexcept {
    // In thousandths, so that Lua, whose integers end at 2^53, gets the same: 366 days are 3.2e10 ms.
    auto const growth = static_cast<std::int64_t>(std::llround(how.open_backoff * 1000));
    auto const most = how.open_max.count();
    auto wait = how.open_for.count();
    for (; openings > 1 && wait < most && growth > 1000; --openings) {
        // At least a millisecond each time, or a short wait with a small factor would never grow.
        auto const grown = wait * growth / 1000;
        wait = grown > wait ? grown : wait + 1;
    }
    wait = wait < most ? wait : most;
    auto const share = static_cast<std::int64_t>(std::llround(how.jitter * 10000)) * random / 10000;
    return std::chrono::milliseconds{wait + wait * share / 10000};
}

} // namespace weir::circuit
