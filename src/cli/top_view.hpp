#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

/// What `weir top` shows of two answers of /v1/status and one of /v1/top. No I/O.
namespace weir::cli {

using json_document = nlohmann::ordered_json;

/// The duration in seconds below which that share of what happened between two counts by bucket lies, interpolated
/// within its bucket; nothing where nothing happened. `bounds` are the upper bounds of all buckets but the last.
std::optional<double> quantile(json_document const& before, json_document const& now, json_document const& bounds,
                               double share);

/// The lines of the view, each at most `width` columns, at most `height` of them. Bytes of users and paths that a
/// terminal would obey are shown as `?`.
std::vector<std::string> top_lines(json_document const& before, json_document const& now, json_document const& top,
                                   std::size_t width, std::size_t height);

} // namespace weir::cli
