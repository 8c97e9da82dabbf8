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

/// What a body asks for.
enum class question : std::uint8_t { check, reserve, extend, settle };

/// What one check asks.
struct check_item {
    std::string user;
    std::string endpoint;
    /// Empty: every rule.
    std::string rule;
    std::optional<std::uint64_t> cost;
    /// Empty: none.
    std::string request_id;
    std::optional<std::uint64_t> keep_ms;
};

/// The body of a POST: one check, or several in an array. Reuse the object: it keeps its capacity.
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

/// Reads a body strictly: RFC 8259, no unknown, missing, doubled or mistyped member, numbers whole (1.0 is one) and in
/// their range, `request_id` where it must be, an array only for `question::check`. What is wrong, up to 16 things, is
/// appended to `issues`; then `out` is unspecified.
void read_check_body(std::string_view text, question what, check_body& out, std::vector<body_issue>& issues);

} // namespace weir::service
