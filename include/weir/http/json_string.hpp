#pragma once

#include <weir/detail/config.hpp>

#include <string>
#include <string_view>

namespace weir::http {

/// Appends `text` as a JSON string with its quotes (RFC 8259 7). Control characters and DEL are escaped, bytes that are
/// not UTF-8 become U+FFFD, so that whatever a client sent is one valid string on one line. Allocates only when `out`
/// is full.
WEIR_DECL void append_json_string(std::string& out, std::string_view text);

/// Whether `text` stands in a JSON string as it is: printable ASCII without quotes and backslashes.
WEIR_DECL bool is_plain_json(std::string_view text) noexcept;

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/json_string.ipp>
#endif
