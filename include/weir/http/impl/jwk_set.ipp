#pragma once

#include <weir/http/detail/base64url.hpp>
#include <weir/http/detail/json_object.hpp>
#include <weir/http/jwk_set.hpp>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace weir::http {
namespace detail {

template <auto Free>
struct openssl_free {
    template <class T>
    void operator()(T* what) const noexcept {
        Free(what);
    }
};
using pkey_ptr = std::unique_ptr<EVP_PKEY, openssl_free<EVP_PKEY_free>>;
using pkey_context_ptr = std::unique_ptr<EVP_PKEY_CTX, openssl_free<EVP_PKEY_CTX_free>>;
using digest_context_ptr = std::unique_ptr<EVP_MD_CTX, openssl_free<EVP_MD_CTX_free>>;
using number_ptr = std::unique_ptr<BIGNUM, openssl_free<BN_free>>;
using params_ptr = std::unique_ptr<OSSL_PARAM, openssl_free<OSSL_PARAM_free>>;
using builder_ptr = std::unique_ptr<OSSL_PARAM_BLD, openssl_free<OSSL_PARAM_BLD_free>>;
using signature_ptr = std::unique_ptr<ECDSA_SIG, openssl_free<ECDSA_SIG_free>>;

inline unsigned char const* bytes_of(std::string_view text) noexcept {
    return reinterpret_cast<unsigned char const*>(text.data());
}

inline number_ptr make_number(std::string_view bytes) {
    return number_ptr{BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr)};
}

/// A public key from its parameters; null where they make none.
inline pkey_ptr make_public_key(char const* type, OSSL_PARAM_BLD* built) {
    params_ptr const params{OSSL_PARAM_BLD_to_param(built)};
    pkey_context_ptr const context{EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr)};
    EVP_PKEY* made = nullptr;
    if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
        return nullptr;
    pkey_ptr key{made};
    pkey_context_ptr const check{EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr)};
    return check && EVP_PKEY_public_check(check.get()) == 1 ? std::move(key) : nullptr;
}

/// The signature of ES256 is two numbers of 32 bytes (RFC 7518 3.4); OpenSSL wants them in DER. Empty where it is none.
inline std::string to_der(std::string_view signature) {
    signature_ptr const pair{ECDSA_SIG_new()};
    auto r = make_number(signature.substr(0, 32)), s = make_number(signature.substr(32));
    if (signature.size() != 64 || !pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.release(), s.release()) != 1)
        return {};
    unsigned char* der = nullptr;
    auto const size = i2d_ECDSA_SIG(pair.get(), &der);
    std::string out;
    if (size > 0)
        out.assign(reinterpret_cast<char const*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return out;
}

} // namespace detail

struct jwk_set::key {
    std::optional<std::string> kid;
    jwt_algorithm algorithm = jwt_algorithm::hs256;
    /// Of HS256.
    std::string secret;
    /// Of the others.
    detail::pkey_ptr public_key;

    bool verify(std::string_view text, std::string_view signature) const {
        if (algorithm == jwt_algorithm::hs256) {
            std::array<unsigned char, EVP_MAX_MD_SIZE> made;
            unsigned size = 0;
            return HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), detail::bytes_of(text),
                        text.size(), made.data(), &size) != nullptr &&
                   signature.size() == size && CRYPTO_memcmp(made.data(), signature.data(), size) == 0;
        }
        std::string der;
        if (algorithm == jwt_algorithm::es256) {
            if (signature.size() != 64)
                return false;
            der = detail::to_der(signature);
            signature = der;
        }
        detail::digest_context_ptr const context{EVP_MD_CTX_new()};
        return context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, public_key.get()) == 1 &&
               EVP_DigestVerify(context.get(), detail::bytes_of(signature), signature.size(), detail::bytes_of(text),
                                text.size()) == 1;
    }
};

namespace detail {

/// Reads a member in base64url; `fail` throws.
template <class Fail>
std::string key_bytes(boost::json::object const& from, char const* name, Fail const& fail) {
    auto const text = text_member(from, name);
    std::string bytes;
    if (!text || text->empty() || !decode_base64url(*text, bytes))
        fail("\"" + std::string(name) + "\" must be base64url without padding");
    return bytes;
}

template <class Fail>
pkey_ptr read_rsa(boost::json::object const& from, Fail const& fail) {
    auto const n = make_number(key_bytes(from, "n", fail)), e = make_number(key_bytes(from, "e", fail));
    builder_ptr const built{OSSL_PARAM_BLD_new()};
    if (!n || !e || !built || BN_num_bits(n.get()) < 2048 || BN_num_bits(n.get()) > 8192)
        fail("an RSA key must have 2048 to 8192 bits");
    OSSL_PARAM_BLD_push_BN(built.get(), OSSL_PKEY_PARAM_RSA_N, n.get());
    OSSL_PARAM_BLD_push_BN(built.get(), OSSL_PKEY_PARAM_RSA_E, e.get());
    auto made = make_public_key("RSA", built.get());
    if (!made)
        fail("is no valid RSA key");
    return made;
}

template <class Fail>
pkey_ptr read_ec(boost::json::object const& from, Fail const& fail) {
    auto const x = key_bytes(from, "x", fail), y = key_bytes(from, "y", fail);
    if (x.size() != 32 || y.size() != 32)
        fail("\"x\" and \"y\" must be 32 bytes each");
    auto const point = '\4' + x + y;
    builder_ptr const built{OSSL_PARAM_BLD_new()};
    if (built) {
        OSSL_PARAM_BLD_push_utf8_string(built.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
        OSSL_PARAM_BLD_push_octet_string(built.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
    }
    auto made = built ? make_public_key("EC", built.get()) : nullptr;
    if (!made)
        fail("is no point of P-256");
    return made;
}

/// What a key is for, or nothing where that is nothing of ours.
inline std::optional<jwt_algorithm> purpose_of(boost::json::object const& from) {
    auto const says = [&](char const* name, std::string_view expected) {
        return !from.contains(name) || text_member(from, name) == expected;
    };
    if (!says("use", "sig"))
        return {};
    if (auto const* operations = from.if_contains("key_ops")) {
        auto const* list = operations->if_array();
        if (!list || std::find(list->begin(), list->end(), boost::json::value("verify")) == list->end())
            return {};
    }
    auto const type = text_member(from, "kty");
    if (type == "oct" && says("alg", "HS256"))
        return jwt_algorithm::hs256;
    if (type == "RSA" && says("alg", "RS256"))
        return jwt_algorithm::rs256;
    if (type == "EC" && text_member(from, "crv") == "P-256" && says("alg", "ES256"))
        return jwt_algorithm::es256;
    return {};
}

} // namespace detail

WEIR_DECL jwk_set::jwk_set(std::string_view text) {
    auto const document = detail::parse_json_object(text);
    if (!document)
        throw std::invalid_argument("is no JSON object, or names a member twice");
    auto const* const list = document->contains("keys") ? document->at("keys").if_array() : nullptr;
    if (!list)
        throw std::invalid_argument("is no JWK set: {\"keys\": [...]}");
    for (std::size_t i = 0; i < list->size(); ++i) {
        auto const fail = [&](std::string const& why) {
            throw std::invalid_argument("/keys/" + std::to_string(i) + ": " + why);
        };
        auto const* const object = (*list)[i].if_object();
        if (!object)
            fail("must be an object");
        auto const purpose = detail::purpose_of(*object);
        if (!purpose)
            continue;
        key made;
        made.algorithm = *purpose;
        if (auto const kid = detail::text_member(*object, "kid"))
            made.kid = *kid;
        else if (object->contains("kid"))
            fail("\"kid\" must be a text");
        for (auto const& other : keys_)
            if (other.algorithm == made.algorithm && other.kid == made.kid)
                fail(made.kid ? "\"" + *made.kid + "\" is the kid of another key"
                              : "without a kid, and so is another key of its kind");
        if (made.algorithm == jwt_algorithm::hs256) {
            made.secret = detail::key_bytes(*object, "k", fail);
            if (made.secret.size() < 32)
                fail("a secret for HS256 must have 256 bits at least (RFC 7518 3.2)");
        } else {
            made.public_key = made.algorithm == jwt_algorithm::rs256 ? detail::read_rsa(*object, fail)
                                                                     : detail::read_ec(*object, fail);
        }
        keys_.push_back(std::move(made));
    }
    if (keys_.empty())
        throw std::invalid_argument("holds no key for RS256, ES256 or HS256");
}

WEIR_DECL jwk_set::jwk_set(jwk_set&&) noexcept = default;
WEIR_DECL jwk_set& jwk_set::operator=(jwk_set&&) noexcept = default;
WEIR_DECL jwk_set::~jwk_set() = default;

WEIR_DECL jwk_set::verdict jwk_set::verify(jwt_algorithm algorithm, std::optional<std::string_view> kid,
                                           std::string_view text, std::string_view signature) const {
    key const* chosen = nullptr;
    std::size_t fitting = 0;
    for (auto const& each : keys_) {
        if (each.algorithm != algorithm || (kid && each.kid != *kid))
            continue;
        chosen = &each;
        ++fitting;
    }
    if (fitting != 1)
        return verdict::unknown_key;
    return chosen->verify(text, signature) ? verdict::good : verdict::bad;
}

WEIR_DECL std::size_t jwk_set::size() const noexcept { return keys_.size(); }

} // namespace weir::http
