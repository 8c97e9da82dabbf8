#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace weir {

/// How a rule counts.
enum class algorithm {
    /// Never more than `limit` within any window of length `window`.
    sliding_window,
};

/// What decides while Redis is away.
enum class on_redis_failure {
    /// A limiter inside the process.
    local,
    /// Let everything pass.
    open,
    /// Refuse everything.
    closed,
};

/// The largest limit of a rule and the largest cost that can ever be admitted: counts are kept modulo 2^48.
inline constexpr std::uint64_t max_limit = (std::uint64_t{1} << 47) - 1;

/// The largest cost a caller may ask for (2^53); anything above `limit` is denied with "never".
inline constexpr std::uint64_t max_cost = std::uint64_t{1} << 53;

/// The shortest and the longest window of a rule.
inline constexpr std::chrono::milliseconds min_window{1};
inline constexpr std::chrono::milliseconds max_window = std::chrono::hours{24 * 366};

/// What is allowed: so many units of cost in a window of time.
struct rule {
    /// Names the rule in header fields, metrics and configuration: 1 to 64 of `A-Z a-z 0-9 _ - .`
    std::string name = "default";
    weir::algorithm algorithm = weir::algorithm::sliding_window;
    /// Units of cost admitted in any window, 0 ("deny all") to `max_limit`.
    std::uint64_t limit = 0;
    /// `min_window` to `max_window`.
    std::chrono::milliseconds window{std::chrono::minutes{1}};
    /// What decides while Redis is away.
    weir::on_redis_failure on_redis_failure = weir::on_redis_failure::local;
};

} // namespace weir
