#pragma once

#include <weir/http/detail/base64url.hpp>
#include <weir/http/detail/bytes.hpp>
#include <weir/http/detail/json_object.hpp>
#include <weir/http/jwt.hpp>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace weir::http {
namespace detail {

struct jwt_parts {
    std::string_view header, payload, signature;
    /// What is signed.
    std::string_view signed_text;
};

inline std::optional<jwt_parts> split_jwt(std::string_view token) noexcept {
    auto const first = token.find('.');
    auto const second = first == token.npos ? token.npos : token.find('.', first + 1);
    if (second == token.npos || token.find('.', second + 1) != token.npos)
        return {};
    return jwt_parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1),
                     token.substr(0, second)};
}

inline std::optional<jwt_algorithm> algorithm_named(std::optional<std::string_view> name) noexcept {
    if (name == "HS256")
        return jwt_algorithm::hs256;
    if (name == "RS256")
        return jwt_algorithm::rs256;
    if (name == "ES256")
        return jwt_algorithm::es256;
    return {};
}

/// The types of tokens that say who asks (RFC 7519 5.1, RFC 9068 2.1); others are signed by the same keys for other
/// ends.
inline bool is_access_token_type(std::string_view type) noexcept {
    constexpr std::string_view prefix = "application/";
    if (type.size() > prefix.size() && equals_ignoring_case(type.substr(0, prefix.size()), prefix))
        type.remove_prefix(prefix.size());
    return equals_ignoring_case(type, "jwt") || equals_ignoring_case(type, "at+jwt");
}

/// A NumericDate: seconds since 1970, which may have a fraction. `ok` is false for what is none; nothing: not there.
inline std::optional<double> read_date(boost::json::object const& claims, char const* name, bool& ok) {
    auto const* const found = claims.if_contains(name);
    if (!found)
        return {};
    boost::system::error_code ec;
    auto const seconds = found->to_number<double>(ec);
    ok = ok && !ec && std::abs(seconds) < 1e12; // some 30 000 years
    return seconds;
}

inline bool names_one_of(boost::json::value const& said, std::vector<std::string> const& wanted) {
    auto const* const text = said.if_string();
    return text &&
           std::find(wanted.begin(), wanted.end(), std::string_view{text->data(), text->size()}) != wanted.end();
}

inline bool is_for(boost::json::object const& claims, std::vector<std::string> const& wanted) {
    auto const* const said = claims.if_contains("aud");
    if (!said)
        return wanted.empty();
    auto const* const list = said->if_array();
    return list ? std::any_of(list->begin(), list->end(), [&](auto const& each) { return names_one_of(each, wanted); })
                : names_one_of(*said, wanted);
}

} // namespace detail

WEIR_DECL std::string_view to_string(jwt_refusal value) noexcept {
    switch (value) {
    case jwt_refusal::none:
        return "the token is good";
    case jwt_refusal::too_long:
        return "the token is too long";
    case jwt_refusal::malformed:
        return "the token is malformed";
    case jwt_refusal::algorithm:
        return "the token is signed by an algorithm that is not accepted";
    case jwt_refusal::unsupported:
        return "the token is of a kind that is not accepted";
    case jwt_refusal::unknown_key:
        return "the token is signed by an unknown key";
    case jwt_refusal::signature:
        return "the signature of the token is wrong";
    case jwt_refusal::expired:
        return "the token has expired";
    case jwt_refusal::not_yet_valid:
        return "the token is not valid yet";
    case jwt_refusal::issuer:
        return "the token is from another issuer";
    case jwt_refusal::audience:
        return "the token is meant for another audience";
    case jwt_refusal::no_user:
        return "the token names no user";
    }
    return "unknown";
}

WEIR_DECL jwt_refusal jwt_verifier::verify(std::string_view token, std::chrono::sys_seconds now,
                                           verified_identity& out) const {
    if (token.size() > max_jwt)
        return jwt_refusal::too_long;
    auto const parts = detail::split_jwt(token);
    std::string bytes;
    if (!parts || !detail::decode_base64url(parts->header, bytes))
        return jwt_refusal::malformed;
    auto const header = detail::parse_json_object(bytes);
    if (!header)
        return jwt_refusal::malformed;
    auto const algorithm = detail::algorithm_named(detail::text_member(*header, "alg"));
    if (!algorithm)
        return jwt_refusal::algorithm;
    auto const type = detail::text_member(*header, "typ");
    if (header->contains("crit") || header->contains("typ") != type.has_value() ||
        (type && !detail::is_access_token_type(*type)))
        return jwt_refusal::unsupported;
    auto const kid = detail::text_member(*header, "kid");
    if (header->contains("kid") != kid.has_value() || !detail::decode_base64url(parts->signature, bytes))
        return jwt_refusal::malformed;
    switch (keys_.verify(*algorithm, kid, parts->signed_text, bytes)) {
    case jwk_set::verdict::good:
        break;
    case jwk_set::verdict::unknown_key:
        return jwt_refusal::unknown_key;
    case jwk_set::verdict::bad:
        return jwt_refusal::signature;
    }
    // From here on somebody whose key we have wrote what is read.
    if (!detail::decode_base64url(parts->payload, bytes))
        return jwt_refusal::malformed;
    auto const claims = detail::parse_json_object(bytes);
    if (!claims)
        return jwt_refusal::malformed;
    bool dates_are_good = true;
    auto const expires = detail::read_date(*claims, "exp", dates_are_good);
    auto const begins = detail::read_date(*claims, "nbf", dates_are_good);
    if (!dates_are_good)
        return jwt_refusal::malformed;
    auto const today = static_cast<double>(now.time_since_epoch().count());
    auto const leeway = static_cast<double>(rules_.leeway.count());
    if (!expires || today >= *expires + leeway)
        return jwt_refusal::expired;
    if (begins && today < *begins - leeway)
        return jwt_refusal::not_yet_valid;
    auto const* const issuer = claims->if_contains("iss");
    if (!rules_.issuers.empty() && !(issuer && detail::names_one_of(*issuer, rules_.issuers)))
        return jwt_refusal::issuer;
    if (!detail::is_for(*claims, rules_.audiences))
        return jwt_refusal::audience;
    auto const user = detail::text_member(*claims, rules_.user);
    if (!user || !is_identity_text(*user))
        return jwt_refusal::no_user;
    out.user = *user;
    out.attributes.clear();
    for (auto const& name : rules_.attributes)
        if (auto const text = detail::text_member(*claims, name); text && is_identity_text(*text))
            out.attributes.emplace_back(name, *text);
    out.expires = std::chrono::sys_seconds{std::chrono::seconds{static_cast<std::int64_t>(*expires + leeway)}};
    return jwt_refusal::none;
}

} // namespace weir::http
