#pragma once

#include "support/raw_redis.hpp"

#include <weir/circuit/script.hpp>

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// Runs the circuit's scripts on a real server, with a clock that the test sets: their text is that of production but
/// for the one line that reads the clock, which reads a hash instead. Hears what they publish.
class circuit_runner {
public:
    explicit circuit_runner(std::string const& socket_path);

    /// The clock of the server; the scripts' for all calls that follow.
    void set_time(std::chrono::microseconds now) { now_ = now; }
    std::chrono::microseconds time() const noexcept { return now_; }

    circuit::script_answer run(circuit::script_calls const& calls, circuit::caller const& who,
                               circuit::report const& what);
    circuit::script_answer run(circuit::script_calls const& calls, circuit::caller const& who,
                               circuit::probe const& what);
    circuit::script_answer run(circuit::script_calls const& calls, circuit::override_request const& what);

    /// What was published since the last call, of all circuits.
    std::vector<std::string> heard();

    /// Any other command, as `raw_redis::command`.
    std::string command(std::initializer_list<std::string_view> words) {
        return context_.command({words.begin(), words.size()});
    }

private:
    circuit::script_answer send();

    redis::script report_, probe_, override_;
    redis::command encoded_;
    raw_redis context_, subscribed_;
    std::chrono::microseconds now_{0};
};

} // namespace weir::test
