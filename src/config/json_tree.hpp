#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// JSON as a tree in which every value knows where it was written, so that each complaint about a configuration can
/// point at its line.
namespace weir::config {

struct member;

/// One JSON value.
struct node {
    enum class type { scalar, array, object };
    type kind = type::scalar;
    /// Byte offset of the value's first character in the text.
    std::size_t offset = 0;
    /// The value of a scalar (null, boolean, number or string), else null.
    nlohmann::json scalar;
    /// The elements of an array.
    std::vector<node> elements;
    /// The members of an object, in the order written.
    std::vector<member> members;

    bool is_object() const noexcept { return kind == type::object; }
    bool is_array() const noexcept { return kind == type::array; }
    bool is_string() const noexcept { return kind == type::scalar && scalar.is_string(); }
    bool is_number() const noexcept { return kind == type::scalar && scalar.is_number(); }
    /// "an object", "a string" ..., for messages.
    std::string_view type_name() const noexcept;
};

/// One member of an object.
struct member {
    std::string key;
    std::size_t key_offset = 0;
    node value;
};

/// A place in a text, counted from 1; columns count characters (UTF-8 code points), as editors do.
struct position {
    std::size_t line = 1;
    std::size_t column = 1;
};

/// The place of a byte offset. O(offset).
position position_of(std::string_view text, std::size_t offset) noexcept;

/// A complaint of the parser: what, where, and within which value.
struct json_issue {
    std::size_t offset = 0;
    std::string pointer;
    std::string message;
};

/// The outcome of `parse_json`.
struct json_tree {
    /// Empty when the text is not JSON at all.
    std::optional<node> root;
    /// A syntax error (then `root` is empty), or keys written twice in one object (the first counts).
    std::vector<json_issue> issues;
};

/// Parses RFC 8259 JSON. Values nested deeper than 64 are a syntax error. Thread safety: safe.
json_tree parse_json(std::string_view text);

/// `key` as a step of a JSON pointer: "/" and "~" escaped (RFC 6901 section 3).
std::string pointer_step(std::string_view key);

} // namespace weir::config
