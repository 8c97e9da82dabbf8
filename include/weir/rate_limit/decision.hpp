#pragma once

#include <weir/error.hpp>
#include <weir/rate_limit/rule.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// Who decided, and how: the `outcome` label of `weir_ratelimit_decisions_total`.
enum class outcome {
    /// Redis decided; the rule has room.
    allow,
    /// Redis decided; the rule has no room.
    deny,
    /// Redis decided before, and what it said still holds: nobody was asked.
    deny_local,
    /// The rule has no room, and is on trial (`rule::shadow`): the request passes.
    shadow_deny,
    /// Redis was away, and the rule lets everything pass.
    error_open,
    /// Redis was away, and the rule refuses everything.
    error_closed,
    /// Redis was away, and the limiter of this process decided.
    error_local,
};

/// The number of outcomes, for tables.
inline constexpr std::size_t outcome_count = 7;

constexpr std::string_view to_string(outcome value) noexcept {
    switch (value) {
    case outcome::allow:
        return "allow";
    case outcome::deny:
        return "deny";
    case outcome::deny_local:
        return "deny_local";
    case outcome::shadow_deny:
        return "shadow_deny";
    case outcome::error_open:
        return "error_open";
    case outcome::error_closed:
        return "error_closed";
    case outcome::error_local:
        return "error_local";
    }
    return "unknown";
}

/// `retry_after` of what can never be admitted: a cost above the limit, or a limit of 0.
inline constexpr std::chrono::milliseconds never = std::chrono::milliseconds::max();

/// What one rule said.
struct rule_decision {
    /// The rule asked; owned by the caller of the check.
    weir::rule const* rule = nullptr;
    /// Whether this rule has room for the request.
    bool allowed = false;
    weir::outcome outcome = weir::outcome::deny;
    /// Whether its count was asked for; else a list decided, or the request was decided before this rule's turn, which
    /// then counts as allowing it.
    bool asked = true;
    /// Whether a list decided: `rule::allow` or, if not allowed, `rule::deny`.
    bool listed = false;
    /// What holds for this user: the rule's, or that of an override; of a token bucket its burst and `window` the time
    /// in which that flows in.
    std::uint64_t limit = 0;
    std::chrono::milliseconds window{0};
    /// Units left in the window, after this request if it was admitted.
    std::uint64_t remaining = 0;
    /// 0 where the rule allows, `never`, or the exact time after which, with no other traffic, the same request has
    /// room in this rule (rounded up to a whole millisecond).
    std::chrono::milliseconds retry_after{0};
    /// Time until nothing counts any more, or a fixed window ends, rounded up to a whole millisecond.
    std::chrono::milliseconds reset_after{0};
};

/// The answer to one check: all its rules, decided together.
///
/// Reusable: a decision passed to another check keeps its memory. Distinct objects: safe; shared objects: unsafe.
struct decision {
    /// Whether every rule admitted the request, but for those on trial. If not, nothing was charged to any.
    bool allowed = false;
    /// Index into `rules` of the one that binds: of a refusal the one that lasts longest, of an admission the one with
    /// the smallest share of its limit left.
    std::size_t binding = 0;
    /// 0 if allowed, `never`, or the longest of the rules' times.
    std::chrono::milliseconds retry_after{0};
    /// How long it was waited for (`request_options::max_wait`).
    std::chrono::milliseconds waited{0};
    /// Why Redis did not decide; no error if it did.
    error_code error;
    /// One a charge, in the order asked.
    std::vector<rule_decision> rules;
    /// The id by which the request is extended and settled, where one was given or, for a rule of `concurrency`, made.
    std::string request_id;

    /// Whether a rule refused only because Redis is away (`on_redis_failure::closed`): the caller's fault it is not, so
    /// answer 503 rather than 429.
    bool failed_closed() const noexcept {
        for (auto const& one : rules)
            if (one.outcome == outcome::error_closed)
                return true;
        return false;
    }

    /// Whether a list of a rule refused the user: answer 403 rather than 429.
    bool refused_by_list() const noexcept {
        for (auto const& one : rules)
            if (one.listed && !one.allowed && one.outcome != outcome::shadow_deny)
                return true;
        return false;
    }
};

/// What became of a request that is settled.
struct settlement {
    struct item {
        weir::rule const* rule = nullptr;
        /// Units that had been charged, extensions included.
        std::uint64_t reserved = 0;
        /// Units of these that were given back: those not used that still counted.
        std::uint64_t refunded = 0;
    };
    /// One a charge, in the order asked.
    std::vector<item> rules;
};

} // namespace weir
