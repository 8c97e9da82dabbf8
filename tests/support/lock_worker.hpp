#pragma once

#include <weir/lock/options.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace weir::test {

/// A process that uses locks, and does to a register what they protect; told what to do line by line, and writing down
/// what it did (lock_history.hpp). Killed with the object, or with the test's process.
///
/// It says one line for each it is told:
///
///     take TTL WAIT RENEW       granted FENCE | refused WORD        of the lock "job"; times in ms, RENEW 0 or 1
///     extend                    ok | WORD
///     release                   ok | WORD
///     freeze                    valid | invalid                     stops itself; once resumed, before any I/O, how
///     its lease is write                     accepted | rejected                 reads and adds one: to a counter that
///     compares fences, and to
///                                                                   one that does not
///     read                      read                                only reads; what it read is what the next `write`
///     adds to load MS                   done                                takes, writes and releases for so long
class lock_worker {
public:
    struct options {
        std::string redis_url;
        /// Where messages come from; empty: the same.
        std::string news_url;
        /// A Redis that nothing happens to.
        std::string register_url;
        std::string history_path;
        lock::script_set const* code = &lock::production_scripts();
        lock::known_fault fault = lock::known_fault::none;
    };

    /// To be called while the process has one thread.
    explicit lock_worker(options how);
    lock_worker(lock_worker const&) = delete;
    lock_worker& operator=(lock_worker const&) = delete;
    ~lock_worker();

    /// Says a line and returns the answer; throws where none comes in a minute.
    std::string ask(std::string const& line);
    /// The two halves of it.
    void say(std::string const& line);
    std::string answer();
    /// Returns when it has stopped itself.
    void wait_until_stopped();
    void signal(int number);
    void kill();
    pid_t pid() const noexcept { return pid_; }

private:
    pid_t pid_ = -1;
    int channel_ = -1;
    std::string read_;
};

} // namespace weir::test
