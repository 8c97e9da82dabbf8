#pragma once

#include <weir/http/detail/bytes.hpp>

// Media types of bodies, as Content-Type names them: in any case, with parameters or without (RFC 9110 8.3.1).
namespace weir::http::detail {

/// Type and subtype, without parameters.
inline std::string_view media_type(std::string_view content_type) noexcept {
    return trim(content_type.substr(0, content_type.find(';')));
}

inline bool is_event_stream(std::string_view content_type) noexcept {
    return equals_ignoring_case(media_type(content_type), "text/event-stream");
}

/// application/json (RFC 8259 11).
inline bool is_json(std::string_view content_type) noexcept {
    return equals_ignoring_case(media_type(content_type), "application/json");
}

/// Or any type that is JSON by its suffix (RFC 6839 3.1).
inline bool is_based_on_json(std::string_view content_type) noexcept {
    constexpr std::string_view suffix = "+json";
    auto const type = media_type(content_type);
    return is_json(type) ||
           (type.size() > suffix.size() && equals_ignoring_case(type.substr(type.size() - suffix.size()), suffix));
}

} // namespace weir::http::detail
