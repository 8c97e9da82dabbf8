#pragma once

#include <weir/rate_limit/rule.hpp>

namespace weir {
namespace detail {

inline rule_terms overridden(rule_terms terms, rule const& r, rule_override const& other) noexcept {
    terms.limit = other.limit.value_or(r.limit);
    terms.window = other.window.value_or(r.window);
    auto const burst = other.burst.value_or(other.limit ? 0 : r.burst);
    terms.burst = r.algorithm == algorithm::token_bucket && burst > 0 && terms.limit > 0 ? burst : terms.limit;
    return terms;
}

} // namespace detail

WEIR_DECL const char* problem_of(rule_terms const& t) noexcept {
    if (t.limit > max_limit)
        return "limit is above 140737488355327";
    if (t.algorithm == algorithm::concurrency && t.limit > max_concurrency)
        return "limit is above 10000, the most that concurrency counts";
    if (t.window < min_window || t.window > max_window)
        return "window is not between 1 ms and 366 days";
    if (t.lease.count() < 0 || t.lease > t.window)
        return "lease is longer than the window";
    if (t.window + t.lease > max_window)
        return "window and lease together are longer than 366 days";
    if (t.algorithm != algorithm::token_bucket)
        return nullptr;
    if (t.burst > max_limit)
        return "burst is above 140737488355327";
    auto const fill = static_cast<long double>(t.burst) * static_cast<long double>(t.window.count()) /
                      static_cast<long double>(t.limit > 0 ? t.limit : 1);
    if (fill > static_cast<long double>(std::chrono::microseconds{max_window}.count()))
        return "burst takes more than 366 days to flow in";
    return nullptr;
}

WEIR_DECL rule_terms terms_of(rule const& r, std::string_view user) noexcept {
    rule_terms terms{r.algorithm, r.limit, r.window, r.limit, r.lease};
    if (r.algorithm == algorithm::token_bucket && r.burst > 0 && r.limit > 0)
        terms.burst = r.burst;
    if (r.overrides.empty())
        return terms;
    auto const found = r.overrides.find(user);
    return found == r.overrides.end() ? terms : detail::overridden(terms, r, found->second);
}

WEIR_DECL std::string problem_of(rule const& r) {
    if (r.burst > 0 && r.algorithm != algorithm::token_bucket)
        return "burst belongs to a token_bucket";
    if (r.lease.count() != 0 && r.algorithm != algorithm::sliding_window)
        return "lease belongs to a sliding_window";
    if (r.max_wait.count() < 0 || r.max_wait > max_window)
        return "wait is not between 0 and 366 days";
    if (r.max_wait.count() > 0 && r.algorithm == algorithm::concurrency)
        return "wait does not belong to concurrency";
    if (auto const* const problem = problem_of(terms_of(r)))
        return problem;
    if (r.penalty.after > 0 && (r.penalty.block < min_window || r.penalty.block > max_window))
        return "penalty.block is not between 1 ms and 366 days";
    for (auto const& [user, terms] : r.overrides) {
        if (terms.burst && r.algorithm != algorithm::token_bucket)
            return "overrides: " + user + ": burst belongs to a token_bucket";
        if (auto const* const problem = problem_of(terms_of(r, user)))
            return "overrides: " + user + ": " + problem;
    }
    return {};
}

} // namespace weir
