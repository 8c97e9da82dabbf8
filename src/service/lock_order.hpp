#pragma once

#include "service/check_body.hpp"

#include <weir/lock/script.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace weir::service {

/// What the body of a POST to /v1/locks/NAME asks for.
struct lock_order {
    enum class what { acquire, extend, release };
    what action = what::acquire;
    std::chrono::milliseconds ttl{30'000};
    std::chrono::milliseconds wait{0};
    /// For operators; empty: nobody said.
    std::string who;
    /// Of what is extended or released.
    lock::holding held;
};

/// How long an order may wait.
inline constexpr std::chrono::milliseconds longest_lock_wait{60'000};

/// Reads a body strictly: no unknown, missing or mistyped member, numbers whole
/// and in their range. What is wrong is appended to `issues`; then the result
/// is unspecified.
lock_order read_lock_order(std::string_view text, std::vector<body_issue>& issues);

} // namespace weir::service
