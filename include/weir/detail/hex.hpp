#pragma once

#include <span>
#include <string>

namespace weir::detail {

/// Appends two lower-case hexadecimal digits a byte.
inline void append_hex(std::string& out, std::span<unsigned char const> bytes) {
    constexpr char digits[] = "0123456789abcdef";
    for (auto const byte : bytes) {
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
}

} // namespace weir::detail
