#pragma once

#include <weir/http/detail/json_object.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/error.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>

#include <cmath>

namespace weir::http::detail {

/// Builds a value as boost::json::parser does, and counts the members read.
struct counting_handler {
    using error_code = boost::system::error_code;
    using text = boost::json::string_view;

    static constexpr std::size_t max_object_size = std::size_t{1} << 16;
    static constexpr std::size_t max_array_size = std::size_t{1} << 16;
    static constexpr std::size_t max_key_size = std::size_t{1} << 16;
    static constexpr std::size_t max_string_size = std::size_t{1} << 24;

    boost::json::value_stack stack;
    std::size_t members = 0;

    bool on_document_begin(error_code&) {
        stack.reset();
        return true;
    }
    bool on_document_end(error_code&) { return true; }
    bool on_object_begin(error_code&) { return true; }
    bool on_object_end(std::size_t n, error_code&) {
        members += n;
        stack.push_object(n);
        return true;
    }
    bool on_array_begin(error_code&) { return true; }
    bool on_array_end(std::size_t n, error_code&) {
        stack.push_array(n);
        return true;
    }
    bool on_key_part(text part, std::size_t, error_code&) {
        stack.push_chars(part);
        return true;
    }
    bool on_key(text part, std::size_t, error_code&) {
        stack.push_key(part);
        return true;
    }
    bool on_string_part(text part, std::size_t, error_code&) {
        stack.push_chars(part);
        return true;
    }
    bool on_string(text part, std::size_t, error_code&) {
        stack.push_string(part);
        return true;
    }
    bool on_number_part(text, error_code&) { return true; }
    bool on_int64(std::int64_t value, text, error_code&) {
        stack.push_int64(value);
        return true;
    }
    bool on_uint64(std::uint64_t value, text, error_code&) {
        stack.push_uint64(value);
        return true;
    }
    bool on_double(double value, text, error_code& ec) {
        if (!std::isfinite(value)) {
            ec = boost::json::error::exponent_overflow;
            return false;
        }
        stack.push_double(value);
        return true;
    }
    bool on_bool(bool value, error_code&) {
        stack.push_bool(value);
        return true;
    }
    bool on_null(error_code&) {
        stack.push_null();
        return true;
    }
    bool on_comment_part(text, error_code&) { return true; }
    bool on_comment(text, error_code&) { return true; }
};

WEIR_DECL std::size_t count_members(boost::json::value const& in) noexcept {
    std::size_t n = 0;
    if (auto const* object = in.if_object()) {
        n = object->size();
        for (auto const& member : *object)
            n += count_members(member.value());
    } else if (auto const* array = in.if_array()) {
        for (auto const& element : *array)
            n += count_members(element);
    }
    return n;
}

WEIR_DECL std::optional<boost::json::object> parse_json_object(std::string_view text) {
    boost::json::basic_parser<counting_handler> parser{boost::json::parse_options{}};
    boost::system::error_code ec;
    auto const used = parser.write_some(false, text.data(), text.size(), ec);
    if (ec || used != text.size() || !parser.done())
        return {};
    auto value = parser.handler().stack.release();
    // A member that was there before has been replaced.
    if (!value.is_object() || count_members(value) != parser.handler().members)
        return {};
    return std::move(value.get_object());
}

} // namespace weir::http::detail
