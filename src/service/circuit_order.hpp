#pragma once

#include "service/check_body.hpp"
#include "service/permit_seal.hpp"

#include <weir/circuit/state.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::service {

/// What the body of a POST to /v1/circuits/NAME/result says.
struct circuit_result {
    issued_permit of;
    circuit::outcome what = circuit::outcome::success;
    /// None: from the permit to the result.
    std::optional<std::chrono::milliseconds> took;
    /// Of a failure; without control characters.
    std::string error;
};

/// The longest time that a call may take: a result later than this after its permit is too late.
inline constexpr std::chrono::milliseconds longest_call{86'400'000};

/// Reads a body strictly: no unknown, missing or mistyped member, and a permit that `seal` wrote. What is wrong is
/// appended to `issues`; then the result is unspecified.
circuit_result read_circuit_result(std::string_view text, permit_seal const& seal, std::vector<body_issue>& issues);

/// Reads the body of a POST to /v1/circuits/NAME/permit, which says nothing: an empty object.
void read_permit_order(std::string_view text, std::vector<body_issue>& issues);

} // namespace weir::service
