#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace weir::test {

/// A run of the real program as a child process, its output captured; killed, if it still runs, with the object.
/// Without REDIS_URL and REDIS_PASSWORD unless `environment` sets them. What takes longer than a minute throws.
class program {
public:
    using variables = std::map<std::string, std::string>;

    explicit program(std::vector<std::string> const& arguments, variables environment = {});
    /// A run of another program, found by PATH.
    program(std::string const& executable, std::vector<std::string> const& arguments, variables environment = {});
    program(program const&) = delete;
    program& operator=(program const&) = delete;
    ~program();

    pid_t pid() const noexcept { return pid_; }

    /// What it wrote so far.
    std::string const& out() const noexcept { return out_; }
    std::string const& err() const noexcept { return err_; }

    /// Returns the rest of the first line of standard error that contains `text`, from there on, once it is complete.
    std::string wait_for_error_line(std::string const& text);
    void signal(int number);
    /// Reads until it ends; its exit code, or 128 and the signal that killed it.
    int wait();

private:
    /// Reads until `done()`, or until both pipes are closed.
    void pump(std::function<bool()> const& done);

    pid_t pid_ = -1;
    int out_pipe_ = -1;
    int err_pipe_ = -1;
    std::string out_;
    std::string err_;
};

/// A run to its end.
struct program_result {
    int code;
    std::string out;
    std::string err;
};
program_result run_program(std::vector<std::string> const& arguments, program::variables environment = {});

} // namespace weir::test
