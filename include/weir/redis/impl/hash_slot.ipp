#pragma once

#include <weir/redis/hash_slot.hpp>

#include <array>

namespace weir::redis {
namespace detail {

inline constexpr std::array<std::uint16_t, 256> crc16_table = [] {
    std::array<std::uint16_t, 256> table{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        unsigned crc = byte << 8;
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
        table[byte] = static_cast<std::uint16_t>(crc);
    }
    return table;
}();

inline std::string_view hashed_part(std::string_view key) noexcept {
    auto const open = key.find('{');
    if (open == std::string_view::npos)
        return key;
    auto const close = key.find('}', open + 1);
    return close == std::string_view::npos || close == open + 1 ? key : key.substr(open + 1, close - open - 1);
}

} // namespace detail

WEIR_DECL std::uint16_t hash_slot(std::string_view key) noexcept {
    unsigned crc = 0;
    for (unsigned char const byte : detail::hashed_part(key))
        crc = (crc << 8 & 0xffff) ^ detail::crc16_table[(crc >> 8 ^ byte) & 0xff];
    return static_cast<std::uint16_t>(crc % slot_count);
}

} // namespace weir::redis
