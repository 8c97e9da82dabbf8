#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

/// What the command line asked for: one structure a command, still as text where the text has a language of its own
/// (config/values.hpp), so that the command can say what is wrong with it.
namespace weir::cli {

struct config_check_options {
    std::string file;
};

struct config_show_options {
    std::string file;
};

using command_options = std::variant<config_check_options, config_show_options>;

/// A command and how to answer.
struct invocation {
    command_options command;
    bool json = false;
};

} // namespace weir::cli
