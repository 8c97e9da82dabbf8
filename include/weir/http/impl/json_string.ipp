#pragma once

#include <weir/http/json_string.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace weir::http {
namespace detail {

/// The length of the well-formed UTF-8 sequence of two to four bytes that `text` begins with, 0 when there is none
/// (table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF).
inline std::size_t utf8_length(std::string_view text) noexcept {
    auto const at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    auto const continues = [&](std::size_t i) { return (at(i) & 0xc0U) == 0x80U; };
    auto const first = at(0), second = at(1);
    if (first >= 0xc2 && first <= 0xdf)
        return continues(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        bool const good = first == 0xe0 ? second >= 0xa0 : first == 0xed ? second < 0xa0 : true;
        return good && continues(1) && continues(2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        bool const good = first == 0xf0 ? second >= 0x90 : first == 0xf4 ? second < 0x90 : true;
        return good && continues(1) && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

/// Whether a byte stands for itself in a JSON string.
inline constexpr std::array<bool, 256> json_plain = [] {
    std::array<bool, 256> plain{};
    for (std::size_t byte = 0x20; byte < 0x7f; ++byte)
        plain[byte] = byte != '"' && byte != '\\';
    return plain;
}();

/// Whether eight bytes stand for themselves.
inline bool are_json_plain(char const* bytes) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101U, high = ones * 0x80;
    auto const equal = [](std::uint64_t word, unsigned char byte) {
        auto const same = word ^ (ones * byte);
        return (same - ones) & ~same;
    };
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    auto const special = (word - ones * 0x20) | equal(word, '"') | equal(word, '\\') | equal(word, 0x7f) | word;
    return (special & high) == 0;
}

/// The bytes that `text` begins with and that stand for themselves, eight a step.
inline std::size_t json_plain_length(std::string_view text) noexcept {
    std::size_t at = 0;
    while (text.size() - at >= 8 && are_json_plain(text.data() + at))
        at += 8;
    while (at < text.size() && json_plain[static_cast<unsigned char>(text[at])])
        ++at;
    return at;
}

inline void append_json_escape(std::string& out, unsigned char byte) {
    switch (byte) {
    case '"':
        out += "\\\"";
        return;
    case '\\':
        out += "\\\\";
        return;
    case '\n':
        out += "\\n";
        return;
    case '\r':
        out += "\\r";
        return;
    case '\t':
        out += "\\t";
        return;
    default:
        break;
    }
    constexpr char digits[] = "0123456789abcdef";
    out += "\\u00";
    out += digits[byte >> 4];
    out += digits[byte & 15];
}

} // namespace detail

WEIR_DECL void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    std::size_t start = 0, at = detail::json_plain_length(text);
    auto const flush = [&] { out.append(text, start, at - start); };
    while (at < text.size()) {
        auto const byte = static_cast<unsigned char>(text[at]);
        if (detail::json_plain[byte]) {
            ++at;
            continue;
        }
        if (auto const length = byte < 0x80 ? 0 : detail::utf8_length(text.substr(at)); length != 0) {
            at += length;
            continue;
        }
        flush();
        if (byte < 0x80)
            detail::append_json_escape(out, byte);
        else
            out += "\xef\xbf\xbd";
        start = ++at;
    }
    flush();
    out += '"';
}

WEIR_DECL bool is_plain_json(std::string_view text) noexcept {
    if (text.size() < 8)
        return detail::json_plain_length(text) == text.size();
    auto const* const last = text.data() + text.size() - 8; // eight bytes, some of them looked at twice
    for (auto const* at = text.data(); at < last; at += 8)
        if (!detail::are_json_plain(at))
            return false;
    return detail::are_json_plain(last);
}

} // namespace weir::http
