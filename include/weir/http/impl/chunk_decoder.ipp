#pragma once

#include <weir/http/chunk_decoder.hpp>
#include <weir/http/detail/bytes.hpp>

#include <algorithm>

namespace weir::http {

// The functions that take one byte return the reason of a refusal; empty: go on.

WEIR_DECL std::string_view chunk_decoder::on_line_byte(char byte) noexcept {
    constexpr unsigned most_digits = 16;
    constexpr std::uint64_t too_large = std::uint64_t{1} << 63;
    switch (at_) {
    case position::size_first:
        if (!detail::is(byte, detail::hex_byte))
            return "an invalid chunk size";
        left_ = detail::hex_value(byte);
        digits_ = 1;
        line_bytes_ = 0;
        at_ = position::size;
        return {};
    case position::size:
        if (detail::is(byte, detail::hex_byte)) {
            if (++digits_ > most_digits)
                return "a chunk size that is too large";
            left_ = left_ << 4 | detail::hex_value(byte);
            return {};
        }
        if (left_ >= too_large)
            return "a chunk size that is too large";
        return on_extension_byte(byte);
    case position::size_lf:
        if (byte != '\n')
            return "a chunk line that does not end in CRLF";
        at_ = left_ == 0 ? position::trailer_first : position::data;
        line_bytes_ = 0;
        return {};
    case position::data_cr:
        at_ = position::data_lf;
        return byte == '\r' ? std::string_view{} : "chunk data that does not end in CRLF";
    case position::data_lf:
        at_ = position::size_first;
        return byte == '\n' ? std::string_view{} : "chunk data that does not end in CRLF";
    case position::trailer_first:
    case position::trailer_name:
    case position::trailer_value:
    case position::trailer_lf:
    case position::end_lf:
        return on_trailer_byte(byte);
    default:
        return on_extension_byte(byte);
    }
}

WEIR_DECL std::string_view chunk_decoder::on_extension_byte(char byte) noexcept {
    constexpr std::uint32_t most_bytes = 256;
    bool const token = detail::is(byte, detail::token_byte);
    bool may_end = false, may_begin_value = false;
    if (++line_bytes_ > most_bytes)
        return "a chunk extension that is too long";
    switch (at_) {
    case position::size:
    case position::extension_end:
        may_end = true;
        break;
    case position::extension_name_first:
    case position::extension_name:
        may_end = may_begin_value = at_ == position::extension_name;
        if (token) {
            at_ = position::extension_name;
            return {};
        }
        break;
    case position::extension_value_first:
        if (byte == '"') {
            at_ = position::extension_quoted;
            return {};
        }
        [[fallthrough]];
    case position::extension_value:
        may_end = at_ == position::extension_value;
        if (token) {
            at_ = position::extension_value;
            return {};
        }
        break;
    case position::extension_quoted:
    case position::extension_escaped: {
        auto const value = static_cast<unsigned char>(byte);
        if ((value < 0x20 && byte != '\t') || value == 0x7f)
            return "a control character in a chunk extension";
        if (at_ == position::extension_escaped)
            at_ = position::extension_quoted;
        else if (byte == '"')
            at_ = position::extension_end;
        else if (byte == '\\')
            at_ = position::extension_escaped;
        return {};
    }
    default:
        break;
    }
    if (may_end && byte == '\r')
        at_ = position::size_lf;
    else if (may_end && byte == ';')
        at_ = position::extension_name_first;
    else if (may_begin_value && byte == '=')
        at_ = position::extension_value_first;
    else
        return at_ == position::size ? "an invalid chunk size" : "an invalid chunk extension";
    return {};
}

WEIR_DECL std::string_view chunk_decoder::on_trailer_byte(char byte) noexcept {
    constexpr std::uint32_t most_bytes = 8 * 1024;
    constexpr std::uint16_t most_lines = 64;
    if (++line_bytes_ > most_bytes)
        return "trailers that are too large";
    switch (at_) {
    case position::trailer_first:
        if (byte == '\r') {
            at_ = position::end_lf;
            return {};
        }
        if (++trailer_lines_ > most_lines)
            return "too many trailers";
        at_ = position::trailer_name;
        return detail::is(byte, detail::token_byte) ? std::string_view{} : "an invalid trailer";
    case position::trailer_name:
        if (byte == ':')
            at_ = position::trailer_value;
        else if (!detail::is(byte, detail::token_byte))
            return "an invalid trailer";
        return {};
    case position::trailer_value: {
        auto const value = static_cast<unsigned char>(byte);
        if (byte == '\r')
            at_ = position::trailer_lf;
        else if ((value < 0x20 && byte != '\t') || value == 0x7f)
            return "an invalid trailer";
        return {};
    }
    default:
        if (byte != '\n')
            return "a trailer that does not end in CRLF";
        at_ = at_ == position::end_lf ? position::done : position::trailer_first;
        return {};
    }
}

WEIR_DECL chunk_decoder::step chunk_decoder::next(std::string_view input) noexcept {
    std::size_t used = 0;
    while (at_ != position::done && at_ != position::refused) {
        if (used == input.size())
            return {state::need_more, used, {}, {}};
        if (at_ == position::data) {
            auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size() - used));
            left_ -= size;
            if (left_ == 0)
                at_ = position::data_cr;
            return {state::data, used + size, input.substr(used, size), {}};
        }
        why_ = on_line_byte(input[used]);
        if (!why_.empty())
            at_ = position::refused;
        else
            ++used;
    }
    if (at_ == position::done)
        return {state::end, used, {}, {}};
    return {state::refused, used, {}, {400, why_}};
}

} // namespace weir::http
