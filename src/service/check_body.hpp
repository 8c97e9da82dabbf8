#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::service {

/// One thing that is wrong in a body.
struct body_issue {
    /// A JSON pointer.
    std::string pointer;
    std::string detail;
};

/// What one check asks.
struct check_item {
    std::string user;
    std::string endpoint;
    /// Empty: every rule.
    std::string rule;
    std::optional<std::uint64_t> cost;
};

/// The body of `POST /v1/check`: one check, or several in an array. Reuse the object: it keeps its capacity.
struct check_body {
    bool array = false;
    std::vector<check_item> items;

    /// Where an item is in the body, as a JSON pointer.
    std::string pointer_of(std::size_t item) const { return array ? '/' + std::to_string(item) : std::string{}; }
};

/// The most checks in one body.
inline constexpr std::size_t max_checks = 128;

/// The longest user or endpoint, in bytes.
inline constexpr std::size_t max_name = 4096;

/// Reads a body strictly: RFC 8259, no unknown, missing, doubled or mistyped member, `cost` a whole number from 0 to
/// 2^53 (1.0 is one). What is wrong, up to 16 things, is appended to `issues`; then `out` is unspecified.
void read_check_body(std::string_view text, check_body& out, std::vector<body_issue>& issues);

} // namespace weir::service
