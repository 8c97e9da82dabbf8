#pragma once

#include <weir/detail/hex.hpp>

#include <openssl/rand.h>

#include <array>
#include <stdexcept>
#include <string>

namespace weir::detail {

/// 32 hexadecimal digits that nobody else has: 128 random bits.
inline std::string random_id() {
    std::array<unsigned char, 16> bytes;
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("OpenSSL gives no random bytes");
    std::string text;
    append_hex(text, bytes);
    return text;
}

} // namespace weir::detail
