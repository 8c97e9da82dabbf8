#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>

namespace weir::test {

/// The seed of a property test: WEIR_TEST_SEED, or a new one each run. Print it with SCOPED_TRACE, so that a failure
/// can be repeated.
inline std::uint64_t random_seed() {
    if (auto const* text = std::getenv("WEIR_TEST_SEED"))
        return std::strtoull(text, nullptr, 10);
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
}

} // namespace weir::test
