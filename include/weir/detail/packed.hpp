#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::detail {

/// Writes a big-endian integer of some bytes, as struct.unpack('>In') reads it; returns where it ends.
template <std::size_t Bytes>
char* put_integer(char* to, std::uint64_t value) noexcept {
    for (std::size_t i = Bytes; i-- > 0; value >>= 8)
        to[i] = static_cast<char>(value & 0xff);
    return to + Bytes;
}

} // namespace weir::detail
