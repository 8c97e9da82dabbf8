#pragma once

#include <weir/detail/config.hpp>

#include <boost/json/object.hpp>
#include <boost/json/string.hpp>

#include <optional>
#include <string_view>

namespace weir::http::detail {

/// Parses one JSON object (RFC 8259), at most 32 levels deep, that every reader reads alike (RFC 7493 2.2, 2.3): no
/// object names a member twice, no number is beyond those of a double. Nothing for anything else.
WEIR_DECL std::optional<boost::json::object> parse_json_object(std::string_view text);

/// The member if it is a string, else nothing.
inline std::optional<std::string_view> text_member(boost::json::object const& in, std::string_view name) {
    auto const* found = in.if_contains({name.data(), name.size()});
    auto const* text = found ? found->if_string() : nullptr;
    return text ? std::optional{std::string_view{text->data(), text->size()}} : std::nullopt;
}

} // namespace weir::http::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/detail/impl/json_object.ipp>
#endif
