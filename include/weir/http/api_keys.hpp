#pragma once

#include <weir/detail/config.hpp>
#include <weir/detail/sha256.hpp>
#include <weir/http/verified_identity.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

namespace weir::http {

/// The API keys that are known, hashed: whoever reads the file that lists them learns no key.
///
/// A key must be random, of 128 bits at least (`make_api_key` makes such): then its plain SHA-256 cannot be guessed
/// back, and a look-up by that digest tells an attacker nothing by its time, since nobody can aim at a digest.
/// Passwords that people choose do not belong here.
///
/// Immutable once made, so safe to share between threads.
class api_keys {
public:
    /// `text` is a JSON object of `keys`, an array of objects of `sha256` (64 hexadecimal digits, of the key's bytes),
    /// `user`, and, where wanted, `attributes` (an object of strings), `expires` ("2027-01-31", UTC: the first day on
    /// which the key is good for nothing) and `name` (for those who keep the file). Throws std::invalid_argument,
    /// saying which key is wrong and why.
    WEIR_DECL explicit api_keys(std::string_view text);

    /// Whose key that is, or null.
    WEIR_DECL verified_identity const* find(std::string_view key, std::chrono::sys_seconds now) const;

    std::size_t size() const noexcept { return keys_.size(); }

private:
    std::unordered_map<weir::detail::sha256_digest, verified_identity, weir::detail::digest_hash> keys_;
};

/// A new random key of 256 bits, `weir_` and 43 letters, digits, `-` and `_`. Throws std::runtime_error where OpenSSL
/// has no random bytes to give.
WEIR_DECL std::string make_api_key();

/// The SHA-256 of a key as `api_keys` reads it.
WEIR_DECL std::string hash_api_key(std::string_view key);

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/api_keys.ipp>
#endif
