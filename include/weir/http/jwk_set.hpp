#pragma once

#include <weir/detail/config.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::http {

/// The signatures that are understood (RFC 7518 3.1). What is not in this list, `none` above all, is refused.
enum class jwt_algorithm : std::uint8_t { hs256, rs256, es256 };

/// The keys that tokens may be signed with (RFC 7517), each for one algorithm, by what kind of key it is: an RSA key
/// verifies RS256 alone, one of P-256 ES256, and a secret (`oct`) HS256. So the `alg` of a token chooses among keys,
/// and never what is done with one: no token is verified by an HMAC with a public key as its secret.
///
/// Immutable once made, so safe to share between threads.
class jwk_set {
public:
    /// `text` is a JWK Set, `{"keys": [...]}`. Keys for something else (another kind or curve, another `alg`, `use`
    /// other than `sig`, `key_ops` without `verify`) are passed over, as RFC 7517 5 wants. Throws
    /// std::invalid_argument, saying which key is wrong and why: an RSA key below 2048 or above 8192 bits, a secret
    /// below 256 bits, a point not on the curve, two keys of the same kind with the same `kid` or without one, no key
    /// that can be used.
    WEIR_DECL explicit jwk_set(std::string_view text);
    WEIR_DECL jwk_set(jwk_set&&) noexcept;
    WEIR_DECL jwk_set& operator=(jwk_set&&) noexcept;
    WEIR_DECL ~jwk_set();

    enum class verdict { good, unknown_key, bad };

    /// Whether `signature` is that of `text` by the key `kid`, or, where a token names none, by the one key that is for
    /// the algorithm.
    WEIR_DECL verdict verify(jwt_algorithm algorithm, std::optional<std::string_view> kid, std::string_view text,
                             std::string_view signature) const;

    /// Keys that can be used.
    WEIR_DECL std::size_t size() const noexcept;

private:
    struct key;
    std::vector<key> keys_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/jwk_set.ipp>
#endif
