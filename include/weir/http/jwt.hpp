#pragma once

#include <weir/detail/config.hpp>
#include <weir/http/jwk_set.hpp>
#include <weir/http/verified_identity.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::http {

/// Why a token proves nothing.
enum class jwt_refusal : std::uint8_t {
    none,
    /// Longer than `max_jwt`.
    too_long,
    /// Not three parts in base64url, of which the first two are JSON objects that name nothing twice; or a time that is
    /// no number.
    malformed,
    /// Signed by an algorithm other than HS256, RS256 and ES256, or not at all.
    algorithm,
    /// Its header makes demands that nobody here understands (`crit`), or says that it is no access token (`typ`).
    unsupported,
    /// No key of the set is for its `kid` and algorithm.
    unknown_key,
    signature,
    /// Past `exp`, or without one.
    expired,
    /// Before `nbf`.
    not_yet_valid,
    issuer,
    /// Meant for others; also where it names anybody and the rules name nobody (RFC 7519 4.1.3).
    audience,
    /// The claim that names the user is not there, or no text that may name one.
    no_user,
};

/// For a log or a WWW-Authenticate field: plain ASCII without quotes.
WEIR_DECL std::string_view to_string(jwt_refusal value) noexcept;

/// The longest token that is looked at.
inline constexpr std::size_t max_jwt = 8192;

/// What a token must say besides being signed.
struct jwt_rules {
    /// The claim that names the user.
    std::string user = "sub";
    /// `iss` must be one of these; none: anybody's whose key is known.
    std::vector<std::string> issuers;
    /// `aud` must name one of these; none: the token must not name anybody.
    std::vector<std::string> audiences;
    /// Claims to take over as attributes, where they are texts that may be one.
    std::vector<std::string> attributes;
    /// How far the clocks of the issuer and of this host may differ.
    std::chrono::seconds leeway{30};
};

/// Verifies JSON Web Tokens (RFC 7519) in compact form, signed (RFC 7515), by the advice of RFC 8725: the key decides
/// the algorithm, keys come from the set alone (never from `jwk`, `jku` or `x5c` in the token), and every token must
/// expire.
///
/// Immutable once made, so safe to share between threads.
class jwt_verifier {
public:
    jwt_verifier(jwk_set keys, jwt_rules rules)
        : keys_(std::move(keys))
        , rules_(std::move(rules)) {}

    /// Whether a token is good at `now`, the wall clock. If it is, `out` says who it is and until when. Costs a
    /// signature, some 20 µs to 150 µs: see `verified_cache`.
    WEIR_DECL jwt_refusal verify(std::string_view token, std::chrono::sys_seconds now, verified_identity& out) const;

private:
    jwk_set keys_;
    jwt_rules rules_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/jwt.ipp>
#endif
