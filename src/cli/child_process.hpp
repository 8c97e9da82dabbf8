#pragma once

#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace weir::cli {

/// A command in a process group of its own, so that a signal reaches all that it started; in the foreground of the
/// terminal where this program was. The kernel kills it when this program ends in whatever way (prctl(2),
/// PR_SET_PDEATHSIG).
///
/// Start it on the main thread. Thread safety: unsafe.
class child_process {
public:
    /// Throws `std::system_error` where it cannot be run.
    child_process(std::vector<std::string> const& command, std::map<std::string, std::string> const& environment);
    child_process(child_process const&) = delete;
    child_process& operator=(child_process const&) = delete;
    /// Kills it where it still runs, and takes the terminal back.
    ~child_process();

    /// To all of its group; without effect when it is over.
    void signal(int number) noexcept;
    /// Whether it is over. Does not wait.
    bool over();
    /// Its exit code, or 128 and the signal that ended it. Precondition: it is over.
    int exit_code() const noexcept;

private:
    void give_terminal(pid_t group) noexcept;

    pid_t pid_ = -1;
    int status_ = 0;
    bool over_ = false;
    bool has_terminal_ = false;
};

/// 127: there is no such command; 126: it cannot be run (as sh(1) and env(1) have it).
int exit_code_of_errno(int error) noexcept;

} // namespace weir::cli
