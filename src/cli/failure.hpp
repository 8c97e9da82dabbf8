#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace weir::cli {

/// The exit codes of every command.
enum exit_code : int {
    /// Yes: admitted, valid, healthy, done.
    exit_yes = 0,
    /// No: refused, invalid, not as it should be.
    exit_no = 1,
    /// The question could not be answered.
    exit_error = 2,
};

/// Why a command could not do what it was asked, in one line with what to do about it; ends the program with
/// `exit_error`.
class failure : public std::runtime_error {
public:
    /// `code` is a lower-case word for programs that read `--json`; `remedy` may be empty.
    failure(std::string code, std::string const& message, std::string remedy)
        : std::runtime_error(message)
        , code_(std::move(code))
        , remedy_(std::move(remedy)) {}

    std::string const& code() const noexcept { return code_; }
    std::string const& remedy() const noexcept { return remedy_; }

private:
    std::string code_;
    std::string remedy_;
};

} // namespace weir::cli
