#pragma once

#include <weir/detail/sha256.hpp>
#include <weir/http/detail/bytes.hpp>
#include <weir/key.hpp>

#include <algorithm>

namespace weir {
namespace detail {

inline constexpr char hex_digits[] = "0123456789ABCDEF";

/// Whether it stands for itself in a key.
constexpr bool is_key_byte(char c) noexcept { return http::detail::is(c, http::detail::unreserved_byte) || c == '/'; }

inline void append_digest(std::string& out, std::string_view text) {
    auto const digest = sha256(text);
    for (std::size_t i = 0; i < 16; ++i) {
        out += hex_digits[digest[i] >> 4];
        out += hex_digits[digest[i] & 15];
    }
}

} // namespace detail

WEIR_DECL void append_key_part(std::string& out, key_part part) {
    if (part.is_any()) {
        out += '*';
        return;
    }
    auto const text = part.text();
    if (text.size() <= max_key_part && std::all_of(text.begin(), text.end(), detail::is_key_byte)) [[likely]] {
        out += text;
        return;
    }
    auto const begin = out.size();
    // The prefix of a part that turns out too long: whole encoded bytes, and room for '=' and 32 digits.
    std::size_t prefix = begin;
    for (char const c : text) {
        if (detail::is_key_byte(c)) {
            out += c;
        } else {
            auto const byte = static_cast<unsigned char>(c);
            out += '%';
            out += detail::hex_digits[byte >> 4];
            out += detail::hex_digits[byte & 15];
        }
        if (out.size() - begin <= max_key_part - 33)
            prefix = out.size();
        if (out.size() - begin > max_key_part) {
            out.resize(prefix);
            out += '=';
            detail::append_digest(out, text);
            return;
        }
    }
}

WEIR_DECL void append_rate_key(std::string& out, std::string_view prefix, key_part user, key_part endpoint,
                               key_layout layout) {
    out += prefix;
    out += layout == key_layout::cluster ? "rate:{" : "rate:";
    append_key_part(out, user);
    out += layout == key_layout::cluster ? "}:" : ":";
    append_key_part(out, endpoint);
}

WEIR_DECL void append_record_key(std::string& out, std::string_view rate_key, std::string_view request_id) {
    out += rate_key;
    out += '#';
    append_key_part(out, request_id);
}

namespace detail {

inline void append_tagged(std::string& out, std::string_view name, key_part part, key_layout layout) {
    out += name;
    if (layout == key_layout::cluster)
        out += '{';
    append_key_part(out, part);
    if (layout == key_layout::cluster)
        out += '}';
}

} // namespace detail

WEIR_DECL void append_circuit_key(std::string& out, std::string_view prefix, key_part service, key_layout layout) {
    out += prefix;
    detail::append_tagged(out, "circuit:", service, layout);
}

WEIR_DECL void append_circuit_history_key(std::string& out, std::string_view prefix, key_part service,
                                          key_layout layout) {
    out += prefix;
    detail::append_tagged(out, "stream:circuit:", service, layout);
}

WEIR_DECL void append_lock_key(std::string& out, std::string_view prefix, key_part name, key_layout layout) {
    out += prefix;
    detail::append_tagged(out, "lock:", name, layout);
}

WEIR_DECL void append_idempotency_key(std::string& out, std::string_view prefix, key_part key, key_layout layout) {
    out += prefix;
    detail::append_tagged(out, "idempotency:", key, layout);
}

WEIR_DECL void append_lock_fence_key(std::string& out, std::string_view prefix, std::string_view tag) {
    append_lock_channel(out, prefix);
    out += "fence";
    if (!tag.empty()) {
        out += '{';
        out += tag;
        out += '}';
    }
}

WEIR_DECL void append_lock_channel(std::string& out, std::string_view prefix) {
    out += prefix;
    out += "lock:#";
}

} // namespace weir
