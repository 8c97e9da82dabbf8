#pragma once

#include <weir/detail/hex.hpp>
#include <weir/http/api_keys.hpp>
#include <weir/http/detail/bytes.hpp>
#include <weir/http/detail/json_object.hpp>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <openssl/rand.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace weir::http {
namespace detail {

inline bool read_digest(std::string_view text, weir::detail::sha256_digest& out) noexcept {
    if (text.size() != 2 * out.size() || !all_of(text, hex_byte))
        return false;
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<unsigned char>(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return true;
}

/// "2027-01-31" as the second in which that day begins.
inline std::optional<std::chrono::sys_seconds> read_day(std::string_view text) noexcept {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-')
        return {};
    auto const number = [&](std::size_t at, std::size_t n) {
        unsigned value = 0;
        for (char const c : text.substr(at, n))
            value = is(c, digit_byte) ? value * 10 + static_cast<unsigned>(c - '0') : 100'000;
        return value;
    };
    if (number(0, 4) > 9999)
        return {};
    std::chrono::year_month_day const day{std::chrono::year{static_cast<int>(number(0, 4))},
                                          std::chrono::month{number(5, 2)}, std::chrono::day{number(8, 2)}};
    return day.ok() ? std::optional<std::chrono::sys_seconds>{std::chrono::sys_days{day}} : std::nullopt;
}

/// One key of the file; `fail` throws.
template <class Fail>
std::pair<weir::detail::sha256_digest, verified_identity> read_api_key(boost::json::object const& from,
                                                                       Fail const& fail) {
    std::pair<weir::detail::sha256_digest, verified_identity> made;
    for (auto const& member : from) {
        std::string_view const name{member.key().data(), member.key().size()};
        if (name != "sha256" && name != "user" && name != "attributes" && name != "expires" && name != "name")
            fail("unknown member \"" + std::string(name) + "\"; known are sha256, user, attributes, expires and name");
    }
    auto const digest = text_member(from, "sha256");
    if (!digest || !read_digest(*digest, made.first))
        fail("\"sha256\" must be the 64 hexadecimal digits that `weir key hash` prints");
    auto const user = text_member(from, "user");
    if (!user || !is_identity_text(*user))
        fail("\"user\" must be a text of 1 to 256 bytes without control characters");
    made.second.user = *user;
    if (auto const* all = from.if_contains("attributes")) {
        auto const* object = all->if_object();
        if (!object)
            fail("\"attributes\" must be an object of texts");
        for (auto const& member : *object) {
            auto const* text = member.value().if_string();
            if (!text || !is_identity_text({text->data(), text->size()}))
                fail("\"attributes\": each must be a text of 1 to 256 bytes without control characters");
            made.second.attributes.emplace_back(std::string(member.key().data(), member.key().size()),
                                                std::string(text->data(), text->size()));
        }
    }
    if (from.contains("expires")) {
        auto const text = text_member(from, "expires");
        auto const day = text ? read_day(*text) : std::nullopt;
        if (!day)
            fail("\"expires\" must be a day, such as \"2027-01-31\"");
        made.second.expires = *day;
    }
    return made;
}

} // namespace detail

WEIR_DECL api_keys::api_keys(std::string_view text) {
    auto const document = detail::parse_json_object(text);
    if (!document)
        throw std::invalid_argument("is no JSON object, or names a member twice");
    auto const* const list = document->contains("keys") ? document->at("keys").if_array() : nullptr;
    if (!list || document->size() != 1)
        throw std::invalid_argument("must be {\"keys\": [...]}");
    keys_.reserve(list->size());
    for (std::size_t i = 0; i < list->size(); ++i) {
        auto const fail = [&](std::string const& why) {
            throw std::invalid_argument("/keys/" + std::to_string(i) + ": " + why);
        };
        auto const* const object = (*list)[i].if_object();
        if (!object)
            fail("must be an object of sha256 and user");
        if (!keys_.insert(detail::read_api_key(*object, fail)).second)
            fail("the same key stands there before");
    }
}

WEIR_DECL verified_identity const* api_keys::find(std::string_view key, std::chrono::sys_seconds now) const {
    auto const found = keys_.find(weir::detail::sha256(key));
    return found == keys_.end() || now >= found->second.expires ? nullptr : &found->second;
}

WEIR_DECL std::string make_api_key() {
    std::array<unsigned char, 33> bytes; // 44 digits: 43 of them are 258 bits
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("OpenSSL gives no random bytes");
    std::string key = "weir_";
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        auto const bits =
            static_cast<std::uint32_t>(bytes[i]) << 16 | static_cast<std::uint32_t>(bytes[i + 1]) << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            key += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[bits >> shift & 63];
    }
    key.pop_back();
    return key;
}

WEIR_DECL std::string hash_api_key(std::string_view key) {
    std::string text;
    weir::detail::append_hex(text, weir::detail::sha256(key));
    return text;
}

} // namespace weir::http
