#pragma once

#include "config/config.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// From the text of a configuration file to a checked `config`, or to the list of everything that is wrong with it.
namespace weir::config {

/// One complaint.
struct issue {
    enum class severity { error, warning };
    severity level = severity::error;
    /// The JSON pointer (RFC 6901) of the value; empty for the whole document.
    std::string pointer;
    /// Counted from 1; 0 where no text is concerned (a file that cannot be read).
    std::size_t line = 0;
    std::size_t column = 0;
    std::string message;

    bool is_error() const noexcept { return level == severity::error; }
};

/// `file:12:5: /limits/per-user/limit: must be ...`; a warning says so after the place.
std::string to_string(issue const& value, std::string_view file);

/// The outcome of loading.
struct loaded {
    /// Null exactly when `issues` holds an error.
    std::shared_ptr<config> value;
    /// Errors and warnings in the order of the text.
    std::vector<issue> issues;
};

/// Reads a configuration: all errors are collected, none stops the reading but a syntax error. Strings may name
/// environment variables (`expand_environment`). Never throws for what the text holds. Thread safety: safe as long as
/// nobody changes the environment meanwhile.
loaded load_text(std::string_view text);

/// `load_text` of a file's content. A file that cannot be read, or is larger than 16 MiB, is an issue without a place.
loaded load_file(std::string const& path);

/// One object of the configuration language, for documentation and its tests.
struct object_fields {
    /// The name of its definition in docs/weir.schema.json; empty for the document itself.
    std::string_view definition;
    std::vector<std::string_view> fields;
    std::vector<std::string_view> required;
};

/// Every object and the fields that are accepted in it.
std::vector<object_fields> describe_fields();

} // namespace weir::config
