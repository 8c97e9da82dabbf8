#pragma once

#include "admin/redis_info.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What `weir doctor` concludes from what Redis says of itself. No I/O.
namespace weir::cli {

/// One finding.
struct finding {
    /// `note`: worth knowing, nothing to do. `warning`: limits hold, but not for long or not always. `problem`: they do
    /// not work.
    enum class level { ok, note, warning, problem };
    level how = level::ok;
    std::string what;
    std::string detail;
    /// Empty where there is nothing to do.
    std::string remedy;
};

std::string_view to_string(finding::level value) noexcept;

using admin::info_fields;
using admin::parse_info;

/// Version, role, memory, eviction, persistence, clients, from INFO of a server that is spoken to as a node of a
/// cluster or alone.
std::vector<finding> judge_info(info_fields const& info, bool as_cluster = false);

/// `redis_ahead`: by how much the clock of Redis is ahead of ours.
finding judge_clock(std::chrono::microseconds redis_ahead);

/// Round trips of single PINGs; not empty. `timeout`: what the configuration allows a decision.
finding judge_latency(std::vector<std::chrono::microseconds> samples, std::chrono::milliseconds timeout);

} // namespace weir::cli
