#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <string>
#include <string_view>

/// JSON Web Tokens as an attacker or a careless issuer would make them: whatever header and payload, signed by HMAC.
namespace weir::test {

inline std::string base64url(std::string_view bytes) {
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    auto const n =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                        reinterpret_cast<unsigned char const*>(bytes.data()), static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(n));
    while (text.ends_with('='))
        text.pop_back();
    for (auto& c : text)
        c = c == '+' ? '-' : c == '/' ? '_' : c;
    return text;
}

inline std::string hmac_sha256(std::string_view key, std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> made;
    unsigned size = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<unsigned char const*>(text.data()),
         text.size(), made.data(), &size);
    return {reinterpret_cast<char const*>(made.data()), size};
}

/// A token of that header and payload, in their spelling.
inline std::string hs256_token(std::string_view key, std::string_view payload,
                               std::string_view header = R"({"alg":"HS256"})") {
    auto const text = base64url(header) + '.' + base64url(payload);
    return text + '.' + base64url(hmac_sha256(key, text));
}

/// A JWK Set of that secret alone.
inline std::string secret_set(std::string_view key, std::string_view more = "") {
    return R"({"keys":[{"kty":"oct","k":")" + base64url(key) + '"' + std::string(more) + "}]}";
}

} // namespace weir::test
