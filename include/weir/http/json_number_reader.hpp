#pragma once

#include <weir/http/json_pointer.hpp>

#include <boost/json/basic_parser.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::http {

/// What a reader knows of the number it looks for.
enum class number_state : std::uint8_t {
    /// Nothing stands there, up to now or, after finish(), at all.
    absent,
    /// It is there and valid.
    found,
    /// What stands there is a string, an object, an array, true, false or null.
    no_number,
    negative,
    /// Above `largest_number`.
    too_large,
};

/// The largest number that is read: 2^53, the largest cost of a limit.
inline constexpr std::uint64_t largest_number = std::uint64_t{1} << 53;

namespace detail {

/// Follows one pointer through the events of Boost.JSON's parser. Holds no text.
class number_finder {
public:
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    using error_code = boost::system::error_code;
    using text = boost::json::string_view;

    explicit number_finder(json_pointer const& where) noexcept
        : where_(&where) {}

    WEIR_DECL void reset() noexcept;
    number_state state() const noexcept { return state_; }
    std::uint64_t value() const noexcept { return value_; }

    bool on_document_begin(error_code&) noexcept { return true; }
    bool on_document_end(error_code&) noexcept { return commit(); }
    WEIR_DECL bool on_object_begin(error_code&) noexcept;
    WEIR_DECL bool on_object_end(std::size_t, error_code&) noexcept;
    WEIR_DECL bool on_array_begin(error_code&) noexcept;
    WEIR_DECL bool on_array_end(std::size_t, error_code&) noexcept;
    WEIR_DECL bool on_key_part(text, std::size_t, error_code&) noexcept;
    WEIR_DECL bool on_key(text, std::size_t, error_code&) noexcept;
    bool on_string_part(text, std::size_t, error_code&) noexcept { return true; }
    bool on_string(text, std::size_t, error_code&) noexcept { return scalar(number_state::no_number); }
    bool on_number_part(text, error_code&) noexcept { return true; }
    WEIR_DECL bool on_int64(std::int64_t, text, error_code&) noexcept;
    WEIR_DECL bool on_uint64(std::uint64_t, text, error_code&) noexcept;
    WEIR_DECL bool on_double(double, text, error_code&) noexcept;
    bool on_bool(bool, error_code&) noexcept { return scalar(number_state::no_number); }
    bool on_null(error_code&) noexcept { return scalar(number_state::no_number); }
    bool on_comment_part(text, error_code&) noexcept { return true; }
    bool on_comment(text, error_code&) noexcept { return true; }

private:
    WEIR_DECL bool scalar(number_state what, std::uint64_t value = 0) noexcept;
    WEIR_DECL bool enter(bool array) noexcept;
    WEIR_DECL bool leave() noexcept;
    WEIR_DECL void value_ended() noexcept;
    WEIR_DECL bool is_index() const noexcept;
    /// What was read is a whole number only when something valid follows it: 12 may be the begin of 123. Not a part of
    /// a key or string, which depends on where the document was cut.
    bool commit() noexcept {
        if (pending_) {
            pending_ = false;
            state_ = pending_state_;
            value_ = pending_value_;
        }
        return true;
    }

    json_pointer const* where_;
    /// Containers open, and how many of them, from the outside, lie on the pointer.
    std::size_t depth_ = 0;
    std::size_t on_path_ = 0;
    /// One bit an open container on the pointer: it is an array.
    std::uint64_t arrays_ = 0;
    /// Of the innermost container on the pointer, where it is an array.
    std::size_t index_ = 0;
    /// How much of the present key equals the step; npos: it differs.
    std::size_t key_equal_ = 0;
    /// The next value in the innermost container on the pointer lies on it.
    bool next_on_path_ = true;
    number_state state_ = number_state::absent;
    std::uint64_t value_ = 0;
    bool pending_ = false;
    number_state pending_state_ = number_state::absent;
    std::uint64_t pending_value_ = 0;
};

} // namespace detail

/// Reads one number out of a JSON document (RFC 8259) that comes in pieces, at constant memory: strings are passed
/// over, nothing is held, and a document nested deeper than 256 is not read.
///
/// Whole numbers count however they are written (12, 12.0, 1.2e1); a fraction counts as the next whole number above it,
/// so that what is used is never free; -0 is 0. Of a key that stands twice the last one counts. Bytes that are no UTF-8
/// are passed over.
///
/// Reuse the object. Allocates at most once, for the first document that ends a piece inside a container. Distinct
/// objects: safe; shared objects: unsafe. Built on Boost.JSON's basic_parser.
class json_number_reader {
public:
    /// `where` must outlive the reader.
    WEIR_DECL explicit json_number_reader(json_pointer const& where);
    json_number_reader(json_number_reader const&) = delete;
    json_number_reader& operator=(json_number_reader const&) = delete;

    /// Forgets the document.
    WEIR_DECL void reset() noexcept;

    /// Takes the next piece, of any size. After something that is no JSON, the rest is ignored.
    WEIR_DECL void feed(std::string_view piece);

    /// The document has ended. False when it is not complete, or no JSON.
    WEIR_DECL bool finish();

    /// What is known now. A number that was read, with something valid behind it, stays read when the document breaks
    /// off or turns out to be no JSON.
    number_state state() const noexcept { return parser_.handler().state(); }

    /// The number, where it is found.
    std::optional<std::uint64_t> value() const noexcept {
        return state() == number_state::found ? std::optional{parser_.handler().value()} : std::nullopt;
    }

    /// Something that is no JSON was fed.
    bool malformed() const noexcept { return malformed_; }

private:
    WEIR_DECL void write(bool more, std::string_view piece);

    boost::json::basic_parser<detail::number_finder> parser_;
    bool malformed_ = false;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/json_number_reader.ipp>
#endif
