#pragma once

#include <weir/rate_limit/rule_state.hpp>

#include <algorithm>

namespace weir {
namespace detail {

template <class State, class Variant>
State& state_as(Variant& v) {
    if (auto* const found = std::get_if<State>(&v))
        return *found;
    return v.template emplace<State>();
}

} // namespace detail

WEIR_DECL rate_answer rule_state::ask(microseconds now, rule_terms const& t, std::uint64_t cost, std::uint64_t holder) {
    rate_answer answer;
    switch (t.algorithm) {
    case algorithm::sliding_window:
        answer = detail::state_as<sliding_window>(state_).ask(now, t.limit, t.window, cost);
        break;
    case algorithm::token_bucket:
        answer = detail::state_as<token_bucket>(state_).ask(now, t.limit, t.window, t.burst, cost);
        break;
    case algorithm::fixed_window:
        answer = detail::state_as<fixed_window>(state_).ask(now, t.limit, t.window, cost);
        break;
    case algorithm::concurrency:
        answer = detail::state_as<lease_table>(state_).ask(now, t.limit, t.window, holder, cost);
        break;
    }
    if (auto const blocked = penalty_.blocked(now); blocked.count() > 0) {
        answer.admitted = false;
        if (answer.retry_after.count() >= 0)
            answer.retry_after = std::max(answer.retry_after, blocked);
        answer.reset_after = std::max(answer.reset_after, blocked);
    }
    return answer;
}

WEIR_DECL void rule_state::charge(microseconds now, std::uint64_t cost, std::uint64_t holder) {
    if (auto* const leases = std::get_if<lease_table>(&state_))
        leases->charge(now, holder, cost);
    else if (auto* const window = std::get_if<sliding_window>(&state_))
        window->charge(now, cost);
    else if (auto* const bucket = std::get_if<token_bucket>(&state_))
        bucket->charge(now, cost);
    else if (auto* const fixed = std::get_if<fixed_window>(&state_))
        fixed->charge(now, cost);
}

WEIR_DECL void rule_state::refuse(microseconds now, rule_terms const& t, penalty_terms const& penalty,
                                  rate_answer& answer) {
    if (penalty.after == 0 || answer.admitted || answer.retry_after.count() < 0 || penalty_.blocked(now).count() > 0)
        return;
    auto const blocked = penalty_.refuse(now, t.window, penalty.after, penalty.block);
    answer.retry_after = std::max(answer.retry_after, blocked);
    answer.reset_after = std::max(answer.reset_after, blocked);
}

WEIR_DECL void rule_state::release(std::uint64_t holder) {
    if (auto* const leases = std::get_if<lease_table>(&state_))
        leases->release(holder);
}

} // namespace weir
