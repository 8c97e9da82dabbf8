#pragma once

#include <weir/detail/config.hpp>

#include <cstdint>
#include <string_view>

namespace weir::redis {

/// How many slots a Redis Cluster divides its keys into.
inline constexpr std::size_t slot_count = 16384;

/// The slot of a key: CRC16/XMODEM of the key, or of what stands between its first `{` and the next `}` where that is
/// not empty, modulo 16384 (Redis Cluster specification, "Key distribution model").
WEIR_DECL std::uint16_t hash_slot(std::string_view key) noexcept;

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/hash_slot.ipp>
#endif
