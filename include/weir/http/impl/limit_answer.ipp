#pragma once

#include <weir/http/limit_answer.hpp>
#include <weir/rate_limit/charge.hpp>

#include <boost/container/static_vector.hpp>

namespace weir::http {

WEIR_DECL void append_rate_limit_fields(std::string& out, decision const& made, rate_limit_style style) {
    boost::container::static_vector<quota, max_rules_per_check> quotas;
    quota_report report;
    for (std::size_t i = 0; i < made.rules.size(); ++i) {
        auto const& one = made.rules[i];
        if (one.rule->shadow || !one.asked)
            continue;
        if (i == made.binding)
            report.binding = quotas.size();
        quotas.push_back({one.rule->name, one.limit, one.window, one.remaining,
                          one.allowed || one.retry_after == never ? one.reset_after : one.retry_after, one.allowed});
    }
    report.rules = quotas;
    report.allowed = made.allowed;
    if (!report.allowed && made.retry_after != never)
        report.retry_after = made.retry_after;
    append_rate_limit_fields(out, report, style);
}

WEIR_DECL unsigned refusal_status(decision const& made) noexcept {
    return made.refused_by_list() ? 403 : made.failed_closed() ? 503 : 429;
}

WEIR_DECL std::string refusal_detail(decision const& made) {
    auto const& one = made.rules[made.binding];
    auto const named = "the limit \"" + one.rule->name + "\" ";
    if (made.refused_by_list())
        return named + "denies this user";
    if (made.failed_closed())
        return named + "cannot be checked at the moment";
    if (one.retry_after == never)
        return named + "never admits a request of this cost";
    auto const time = std::to_string(one.retry_after.count()) + " ms";
    if (one.rule->algorithm == algorithm::concurrency)
        return named + "has no place free; try again in " + time;
    return named + "is used up; the same request passes in " + time;
}

WEIR_DECL std::size_t name_violated(decision const& made, std::span<std::string_view> out) noexcept {
    std::size_t n = 0;
    if (!made.allowed)
        for (auto const& one : made.rules)
            if (!one.allowed && !one.listed && !one.rule->shadow && n < out.size())
                out[n++] = one.rule->name;
    return n;
}

} // namespace weir::http
