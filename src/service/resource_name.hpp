#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::service {

/// Whether it has no control characters; UTF-8 is as good as any.
bool is_plain(std::string_view text) noexcept;

/// The name in the path of a request, of at most `max_name` bytes: percent-decoded; nothing where it is none, or empty.
std::optional<std::string> read_resource_name(std::string_view path);

} // namespace weir::service
