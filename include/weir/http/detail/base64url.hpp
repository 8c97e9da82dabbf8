#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::http::detail {

constexpr std::array<std::int8_t, 256> make_base64url_values() {
    std::array<std::int8_t, 256> table{};
    table.fill(-1);
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (std::size_t i = 0; i < alphabet.size(); ++i)
        table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
    return table;
}

inline constexpr auto base64url_values = make_base64url_values();

/// Decodes base64url as RFC 7515 2 has it: no padding, no line breaks. False for anything else, also for bits that are
/// set beyond the last byte: one value has one spelling. Then `out` holds nothing of use.
inline bool decode_base64url(std::string_view text, std::string& out) {
    out.clear();
    if (text.size() % 4 == 1)
        return false;
    out.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (char const c : text) {
        auto const value = base64url_values[static_cast<unsigned char>(c)];
        if (value < 0)
            return false;
        bits = (bits << 6) | static_cast<std::uint32_t>(value);
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        out += static_cast<char>((bits >> held) & 0xff);
    }
    return (bits & ((1U << held) - 1)) == 0;
}

} // namespace weir::http::detail
