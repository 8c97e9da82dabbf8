#pragma once

#include <weir/detail/config.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace weir {

/// How a rule counts.
enum class algorithm {
    /// Never more than `limit` within any window of length `window`.
    sliding_window,
    /// `limit` units flow in per `window`, evenly, and up to `burst` wait: the generic cell rate algorithm (ITU-T
    /// I.371), which allows a burst and then a steady rate.
    token_bucket,
    /// `limit` in each of the windows that begin at multiples of `window` since 1970-01-01 00:00 UTC: up to twice the
    /// limit around their borders, as quotas "per day" are meant.
    fixed_window,
    /// At most `limit` units in flight over all instances. Each holder has a lease of `window`, so that one who dies
    /// frees his units himself; a decision is for a request id, by which it is extended and settled.
    concurrency,
};

constexpr std::string_view to_string(algorithm value) noexcept {
    switch (value) {
    case algorithm::sliding_window:
        return "sliding_window";
    case algorithm::token_bucket:
        return "token_bucket";
    case algorithm::fixed_window:
        return "fixed_window";
    case algorithm::concurrency:
        return "concurrency";
    }
    return "unknown";
}

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

/// The largest limit of a `concurrency` rule: each holder is kept.
inline constexpr std::uint64_t max_concurrency = 10'000;

/// The largest cost a caller may ask for (2^53); anything above `limit` is denied with "never".
inline constexpr std::uint64_t max_cost = std::uint64_t{1} << 53;

/// The shortest and the longest window of a rule.
inline constexpr std::chrono::milliseconds min_window{1};
inline constexpr std::chrono::milliseconds max_window = std::chrono::hours{24 * 366};

/// Blocks who is refused too often.
struct penalty_terms {
    /// Refusals within the rule's window that lead to the block; 0: none do. Refusals "never" do not count.
    std::uint32_t after = 0;
    /// How long the block lasts, from the last of these refusals; what is refused meanwhile does not prolong it.
    /// `min_window` to `max_window`.
    std::chrono::milliseconds block{0};
};

/// Other terms for some user; what is not set is as in the rule.
struct rule_override {
    std::optional<std::uint64_t> limit{};
    std::optional<std::chrono::milliseconds> window{};
    std::optional<std::uint64_t> burst{};
};

/// What is allowed: so many units of cost in a window of time.
struct rule {
    /// Names the rule in header fields, metrics and configuration: 1 to 64 of `A-Z a-z 0-9 _ - .`
    std::string name = "default";
    weir::algorithm algorithm = weir::algorithm::sliding_window;
    /// Units of cost admitted in any window, 0 ("deny all") to `max_limit`; `concurrency`: units in flight, to
    /// `max_concurrency`.
    std::uint64_t limit = 0;
    /// `min_window` to `max_window`; `concurrency`: how long the lease of a holder lasts.
    std::chrono::milliseconds window{std::chrono::minutes{1}};
    /// `token_bucket` alone: units admitted at once after a rest, 1 to `max_limit`; 0: as many as `limit`. The time in
    /// which they flow in, `burst / limit * window`, is at most `max_window`.
    std::uint64_t burst = 0;
    /// `sliding_window` alone: for how long at most an instance holds units that it has charged ahead of their use, so
    /// that a hot key costs few trips; 0: it does not. A unit then counts for `window + lease`. At most `window`.
    std::chrono::milliseconds lease{0};
    /// For how long a request may be held until this rule has room, rather than refused; 0: not at all. See
    /// `request_options::max_wait`. Not of `concurrency`; at most `max_window`.
    std::chrono::milliseconds max_wait{0};
    /// Counts, and refuses nobody: a rule on trial.
    bool shadow = false;
    penalty_terms penalty{};
    /// By user, the text that was given as the user of the charge.
    std::map<std::string, rule_override, std::less<>> overrides{};
    /// Users whom the rule does not concern, and users whom it always refuses; the latter wins.
    std::set<std::string, std::less<>> allow{};
    std::set<std::string, std::less<>> deny{};
    /// What decides while Redis is away.
    weir::on_redis_failure on_redis_failure = weir::on_redis_failure::local;
};

/// What holds for one user of a rule.
struct rule_terms {
    weir::algorithm algorithm = weir::algorithm::sliding_window;
    std::uint64_t limit = 0;
    std::chrono::microseconds window{0};
    /// Units of a token bucket; otherwise the limit.
    std::uint64_t burst = 0;
    /// For how long units may be held before they are used.
    std::chrono::microseconds lease{0};

    friend bool operator==(rule_terms const&, rule_terms const&) = default;
};

/// The terms of `r` for everybody, or where `r` overrides them for `user`, for him.
WEIR_DECL rule_terms terms_of(rule const& r, std::string_view user = {}) noexcept;

/// What is out of range in the terms, in words; null where nothing is.
WEIR_DECL const char* problem_of(rule_terms const& t) noexcept;

/// What is out of range in a rule, in words that begin with the field: "window is not between 1 ms and 366 days"; empty
/// where nothing is.
WEIR_DECL std::string problem_of(rule const& r);

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/rule.ipp>
#endif
