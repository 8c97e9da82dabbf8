#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

namespace weir::detail {

using sha256_digest = std::array<unsigned char, 32>;

inline sha256_digest sha256(std::string_view text) {
    // Found once: with EVP_sha256() OpenSSL 3 looks it up by name each time.
    static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    sha256_digest digest;
    if (algorithm == nullptr || EVP_Digest(text.data(), text.size(), digest.data(), nullptr, algorithm, nullptr) != 1)
        throw std::bad_alloc(); // the only way in which a digest of memory fails
    return digest;
}

/// A digest is as good as random: any part of it is a hash.
struct digest_hash {
    std::size_t operator()(sha256_digest const& digest) const noexcept {
        std::size_t value;
        std::memcpy(&value, digest.data(), sizeof value);
        return value;
    }
};

} // namespace weir::detail
