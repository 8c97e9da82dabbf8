#pragma once

#include <weir/circuit/adaptive_throttle.hpp>
#include <weir/circuit/detail/random.hpp>

#include <stdexcept>

#include <cmath>

namespace weir::circuit {

WEIR_DECL settings adaptive_throttle::window_of(options const& how) {
    if (!(how.k >= 1 && how.k <= 1000))
        throw std::invalid_argument("an adaptive throttle's k must be 1 to 1000");
    settings result;
    result.window_time = how.window;
    validate(result, "of an adaptive throttle");
    return result;
}

WEIR_DECL adaptive_throttle::adaptive_throttle(options how, std::uint64_t seed)
    : k_(static_cast<std::uint64_t>(std::llround(how.k * 1000)))
    , requests_(window_of(how))
    , accepts_(window_of(how))
    , seed_(seed) {}

WEIR_DECL std::uint64_t adaptive_throttle::refusal_rate(time_point now) noexcept {
    requests_.advance(now);
    accepts_.advance(now);
    auto const requests = requests_.all().calls, passed = k_ * accepts_.all().calls / 1000;
    return requests > passed ? (requests - passed) * 1'000'000 / (requests + 1) : 0;
}

WEIR_DECL bool adaptive_throttle::try_acquire(time_point now) noexcept {
    auto const rate = refusal_rate(now);
    requests_.record(false, false, false, now);
    return rate == 0 || detail::next_random(seed_) % 1'000'000 >= rate;
}

WEIR_DECL void adaptive_throttle::accepted(time_point now) noexcept { accepts_.record(false, false, false, now); }

} // namespace weir::circuit
