#pragma once

#include <cstdint>

namespace weir::circuit::detail {

/// splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): a few instructions, and any
/// seed will do.
constexpr std::uint64_t next_random(std::uint64_t& seed) noexcept {
    seed += 0x9e3779b97f4a7c15u;
    auto z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

} // namespace weir::circuit::detail
