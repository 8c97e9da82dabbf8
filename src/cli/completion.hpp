#pragma once

#include <string>
#include <vector>

/// Completion for shells, from the tables by which the command line is parsed.
namespace weir::cli {

struct option_words {
    /// As typed, "--limit", "-l".
    std::vector<std::string> names;
    std::string description;
    /// A value follows.
    bool takes_value = false;
    /// The value is a file.
    bool is_file = false;
};

struct command_words {
    std::string name;
    std::string description;
    std::vector<option_words> options;
    /// What stands without a name before it is a file.
    bool takes_file = false;
    std::vector<command_words> commands;
};

/// The script that a shell reads: "bash", "zsh" or "fish"; empty for another.
std::string completion_script(command_words const& program, std::string const& shell);

} // namespace weir::cli
