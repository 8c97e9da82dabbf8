#pragma once

#include <boost/beast/core/string.hpp>
#include <openssl/crypto.h>

#include <string_view>

namespace weir::proxy {

/// Whether the value of an Authorization field carries `token` as Bearer (RFC 6750 2.1); compared in constant time.
/// An empty token asks for nothing.
inline bool bears_token(std::string_view authorization, std::string_view token) noexcept {
    if (token.empty())
        return true;
    constexpr std::string_view scheme = "Bearer ";
    if (!boost::beast::iequals(authorization.substr(0, scheme.size()), scheme))
        return false;
    auto const given = authorization.substr(scheme.size());
    return given.size() == token.size() && CRYPTO_memcmp(given.data(), token.data(), token.size()) == 0;
}

} // namespace weir::proxy
