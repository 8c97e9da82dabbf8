#pragma once

#include <weir/detail/hex.hpp>
#include <weir/redis/script.hpp>

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace weir::redis {
namespace detail {

inline std::string sha1_hex(std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    if (!::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr))
        throw std::runtime_error("OpenSSL offers no SHA-1, by which Redis names scripts");
    std::string hex;
    weir::detail::append_hex(hex, std::span{digest}.first(size));
    return hex;
}

} // namespace detail

WEIR_DECL script::script(std::string name, std::string_view source)
    : name_(std::move(name))
    , source_(source)
    , sha1_(detail::sha1_hex(source)) {}

} // namespace weir::redis
