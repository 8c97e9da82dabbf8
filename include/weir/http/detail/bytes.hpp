#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Byte classes of RFC 9110 5.6 and RFC 3986 2, and the scans built on them.
namespace weir::http::detail {

enum byte_class : std::uint8_t {
    /// tchar: what a method, a field name or a transfer coding is made of.
    token_byte = 1,
    /// unreserved of RFC 3986.
    unreserved_byte = 2,
    /// sub-delims of RFC 3986.
    sub_delim_byte = 4,
    hex_byte = 8,
    digit_byte = 16,
    upper_byte = 32,
};

constexpr std::array<std::uint8_t, 256> make_byte_classes() {
    std::array<std::uint8_t, 256> table{};
    auto const add = [&](std::string_view bytes, std::uint8_t value) {
        for (unsigned char byte : bytes)
            table[byte] = static_cast<std::uint8_t>(table[byte] | value);
    };
    add("0123456789", token_byte | unreserved_byte | hex_byte | digit_byte);
    add("abcdefghijklmnopqrstuvwxyz", token_byte | unreserved_byte);
    add("ABCDEFGHIJKLMNOPQRSTUVWXYZ", token_byte | unreserved_byte | upper_byte);
    add("abcdefABCDEF", hex_byte);
    add("!#$%&'*+-.^_`|~", token_byte);
    add("-._~", unreserved_byte);
    add("!$&'()*+,;=", sub_delim_byte);
    return table;
}

inline constexpr auto byte_classes = make_byte_classes();

constexpr bool is(char byte, std::uint8_t classes) noexcept {
    return (byte_classes[static_cast<unsigned char>(byte)] & classes) != 0;
}

constexpr char to_lower(char byte) noexcept { return is(byte, upper_byte) ? static_cast<char>(byte | 0x20) : byte; }

constexpr unsigned hex_value(char byte) noexcept {
    auto const value = static_cast<unsigned char>(byte);
    return value <= '9' ? value - '0' : (value | 0x20U) - 'a' + 10U;
}

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size())
        return false;
    if (a == b) [[likely]] // most of what has that length is spelled as we spell it
        return true;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (to_lower(a[i]) != to_lower(b[i]))
            return false;
    return true;
}

constexpr bool all_of(std::string_view text, std::uint8_t classes) noexcept {
    for (char byte : text)
        if (!is(byte, classes))
            return false;
    return true;
}

/// OWS of RFC 9110 5.6.3 taken off both ends.
constexpr std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

/// Takes the next element off a comma-separated list, trimmed; it may be empty. False when the list is used up.
constexpr bool next_element(std::string_view& list, std::string_view& element, bool& more) noexcept {
    if (!more)
        return false;
    auto const comma = list.find(',');
    more = comma != std::string_view::npos;
    element = trim(list.substr(0, comma));
    if (more)
        list.remove_prefix(comma + 1);
    return true;
}

/// The first control byte other than HTAB in [first, last), or last. Sixteen bytes a step, or eight: this is where the
/// bytes of a head are looked at, each once.
inline const char* find_control(const char* first, const char* last) noexcept {
#if defined(__SSE2__)
    auto const below_space = _mm_set1_epi8(0x1f), delete_byte = _mm_set1_epi8(0x7f);
    for (; last - first >= 16; first += 16) {
        auto const bytes = _mm_loadu_si128(reinterpret_cast<__m128i const*>(first));
        auto const control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, below_space), bytes);
        auto found =
            static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(bytes, delete_byte))));
        for (; found != 0; found &= found - 1)
            if (auto const* const at = first + std::countr_zero(found); *at != '\t')
                return at;
    }
#endif
    constexpr std::uint64_t ones = 0x0101010101010101U, high = ones * 0x80;
    while (first != last) {
        if constexpr (std::endian::native == std::endian::little) {
            while (last - first >= 8) {
                std::uint64_t word;
                std::memcpy(&word, first, 8);
                auto const del = word ^ (ones * 0x7f);
                auto const found = (((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & high;
                if (found != 0) {
                    first += std::countr_zero(found) / 8;
                    break;
                }
                first += 8;
            }
            if (first == last)
                break;
        }
        auto const byte = static_cast<unsigned char>(*first);
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return first;
        ++first;
    }
    return last;
}

} // namespace weir::http::detail
