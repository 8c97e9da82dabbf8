#pragma once

#include "support/raw_redis.hpp"

#include <weir/rate_limit/check_batch.hpp>
#include <weir/rate_limit/check_script.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// Where the tests' clock of a script begins.
inline constexpr std::chrono::microseconds start{1'700'000'000'123'456};

/// The text of a script with the line that reads the server's clock reading the fields `s` and `us` of the hash `clock`
/// instead. (Production has no such line and no argument for a time.)
std::string with_test_clock(std::string source);

/// Runs lua/rate_check.lua and rate_refund.lua on a real server through hiredis, with a clock that the test sets.
class script_runner {
public:
    /// How long keys live, which is by the server's own clock. `prolonged`: those of checks a thousand times as long,
    /// for tests that take longer on a busy machine than passes by the clock that they set.
    enum class lives { as_said, prolonged };

    explicit script_runner(std::string const& socket_path, lives how = lives::as_said);

    /// Sets the clock and asks; the answer comes from `read`, in the order asked. Pipelined: ask many, then read.
    void ask(std::chrono::microseconds now, check_request const& request, check_request::form how = {});
    /// The same of several requests, two at least.
    void ask(std::chrono::microseconds now, check_batch& batch);
    /// The same with lua/rate_refund.lua.
    void ask_back(std::chrono::microseconds now, check_request const& request, std::optional<std::int64_t> receipt);
    /// The same with lua/rate_wait.lua.
    void ask_place(std::chrono::microseconds now, check_request const& request, check_request::wait_form const& how);
    /// The reply as integers; fails the test where it is an error.
    std::vector<std::int64_t> read();

    /// One question, answered at once.
    std::vector<std::int64_t> run(std::chrono::microseconds now, check_request const& request,
                                  check_request::form how = {}) {
        ask(now, request, how);
        return read();
    }

    /// Any other command, as `raw_redis::command`.
    std::string command(std::initializer_list<std::string_view> words) {
        return context_.command({words.begin(), words.size()});
    }

private:
    /// What is encoded, and before it the clock.
    void send(std::chrono::microseconds now);

    redis::script script_;
    redis::script refund_;
    redis::script wait_;
    redis::command encoded_;
    raw_redis context_;
};

/// A request made of charges; fails the test where they are refused.
check_request request_of(std::vector<charge> const& charges, std::string_view request_id = {});

} // namespace weir::test
