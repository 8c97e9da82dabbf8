#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/answer.hpp>
#include <weir/rate_limit/fixed_window.hpp>
#include <weir/rate_limit/lease_table.hpp>
#include <weir/rate_limit/penalty_count.hpp>
#include <weir/rate_limit/rule.hpp>
#include <weir/rate_limit/token_bucket.hpp>
#include <weir/rate_limit/window.hpp>

#include <chrono>
#include <cstdint>
#include <variant>

namespace weir {

/// All that one rule has counted for one key, in memory: what lua/rate_check.lua keeps in Redis, whatever the
/// algorithm.
///
/// Time is an argument, not negative, and never steps back. A rule whose algorithm changes begins anew. Distinct
/// objects: safe; shared objects: unsafe.
class rule_state {
public:
    using microseconds = std::chrono::microseconds;

    /// Whether `cost` has room at `now`, for `holder` of a `concurrency` rule, and no penalty blocks; 0 asks for room
    /// for one. Charges nothing.
    WEIR_DECL rate_answer ask(microseconds now, rule_terms const& terms, std::uint64_t cost, std::uint64_t holder = 0);

    /// Charges `cost` at `now`. Precondition: `ask` admitted it at that time, with nothing in between.
    WEIR_DECL void charge(microseconds now, std::uint64_t cost, std::uint64_t holder = 0);

    /// Counts a refusal that `answer` told, towards the rule's penalty; where that begins to block, `answer` says so.
    WEIR_DECL void refuse(microseconds now, rule_terms const& terms, penalty_terms const& penalty, rate_answer& answer);

    /// Ends the lease of a holder.
    WEIR_DECL void release(std::uint64_t holder);

private:
    std::variant<sliding_window, token_bucket, fixed_window, lease_table> state_;
    penalty_count penalty_;
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/rule_state.ipp>
#endif
