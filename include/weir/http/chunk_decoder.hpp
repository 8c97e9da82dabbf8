#pragma once

#include <weir/http/field.hpp>

#include <cstdint>

namespace weir::http {

/// Takes the chunked transfer coding (RFC 9112 7.1) off a body, strictly, holding none of it: sizes of 1 to 16
/// hexadecimal digits below 2^63, CRLF alone ends a line, no white space in a chunk line outside a quoted string;
/// extensions are checked and dropped, at most 256 bytes a chunk; trailers are checked as field lines are and dropped,
/// at most 8 KiB and 64 lines.
///
/// Distinct objects: safe; shared objects: unsafe.
class chunk_decoder {
public:
    enum class state {
        /// All input is used up; call again with more.
        need_more,
        /// `data` is a part of the body; call again with what is left of the input.
        data,
        /// The body and its trailers ended; what is left of the input belongs to the next message.
        end,
        /// Off the grammar: status 400, close. Every later call gives the same.
        refused,
    };

    struct step {
        state what = state::need_more;
        /// Bytes of the input that this step used, `data` included.
        std::size_t consumed = 0;
        /// Inside the input; never empty when `what` is `data`.
        std::string_view data;
        refusal why;
    };

    /// Decodes up to the next piece of data, the end, or the end of the input.
    WEIR_DECL step next(std::string_view input) noexcept;

    /// The body ended.
    bool done() const noexcept { return at_ == position::done; }

    /// Begins a new body.
    void reset() noexcept { *this = chunk_decoder{}; }

private:
    enum class position : std::uint8_t {
        size_first,
        size,
        extension_name_first,
        extension_name,
        extension_value_first,
        extension_value,
        extension_quoted,
        extension_escaped,
        extension_end,
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer_first,
        trailer_name,
        trailer_value,
        trailer_lf,
        end_lf,
        done,
        refused,
    };

    std::string_view on_line_byte(char byte) noexcept;
    std::string_view on_extension_byte(char byte) noexcept;
    std::string_view on_trailer_byte(char byte) noexcept;

    std::uint64_t left_ = 0;
    std::string_view why_;
    std::uint32_t line_bytes_ = 0;
    std::uint16_t trailer_lines_ = 0;
    std::uint8_t digits_ = 0;
    position at_ = position::size_first;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/chunk_decoder.ipp>
#endif
