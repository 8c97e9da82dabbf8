#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace weir::admin {

/// What the body of a POST says that sets something by hand.
struct manual_order {
    std::string who = "admin API";
    std::string why;
    /// 0: without an end.
    std::chrono::milliseconds lasts{0};
    /// What is wrong with the body; empty: nothing.
    std::string problem;
};

/// Whether what is done by hand may have an end.
enum class end_of_order { none, here_none, allowed };

/// Reads `reason`, `who` and, where it may have an end, `for`; an empty body is fine. `example` is shown to whom sends
/// something else. `end_of_order::here_none`: others of its kind may have an end, and the complaint says so.
manual_order read_manual_order(std::string const& body, std::string_view example, end_of_order end);

} // namespace weir::admin
