#pragma once

#include <weir/detail/random_id.hpp>
#include <weir/http/limit_answer.hpp>
#include <weir/http/limit_filter.hpp>

#include <algorithm>
#include <stdexcept>

namespace weir::http {

WEIR_DECL void limit_filter::add(limit one) {
    if (auto const problem = problem_of(one.rule); !problem.empty())
        throw std::invalid_argument("rule " + one.rule.name + ": " + problem);
    if (limits_.size() == max_rules_per_check)
        throw std::invalid_argument("a filter takes at most " + std::to_string(max_rules_per_check) + " limits");
    for (auto const& each : limits_)
        if (rule_id(each.rule) == rule_id(one.rule))
            throw std::invalid_argument("rule " + one.rule.name + ": another rule has this name or its hash");
    limits_.push_back(std::move(one));
}

WEIR_DECL limit_filter::owned_charges limit_filter::plan(boost::beast::http::request_header<> const& request,
                                                         asio::ip::address const& peer, passage& way) {
    refusal why;
    auto const what = reader_.read(request, peer, why);
    if (!what) {
        way.refuse(why.status, std::string{why.reason});
        return {};
    }
    owned_charges all;
    all.reserve(limits_.size());
    for (auto const& one : limits_)
        all.push_back({&one.rule, one.user(*what), one.endpoint(*what),
                       one.cost ? std::clamp<std::uint64_t>(one.cost(*what), 1, max_cost) : 1, one.settled});
    return all;
}

WEIR_DECL request_options limit_filter::options_of(owned_charges const& asked) {
    request_options how;
    how.keep = keep_;
    // Of our own: a client that repeats an id must not ride for free.
    if (std::any_of(asked.begin(), asked.end(), [](auto const& one) { return one.settled; })) {
        id_ = weir::detail::random_id();
        how.request_id = id_;
    }
    return how;
}

WEIR_DECL bool limit_filter::conclude(owned_charges&& asked, passage& way, error_code ec) {
    if (way.refused())
        return false;
    if (asked.empty())
        return true;
    auto const& made = way.decision_;
    if (ec) {
        way.refuse(503, "the limits could not be asked: " + ec.message());
        return false;
    }
    if (!made.refused_by_list())
        append_rate_limit_fields(way.fields_, made, style_);
    if (!made.allowed) {
        way.refuse(refusal_status(made), refusal_detail(made));
        return false;
    }
    if (made.request_id.empty() || made.error) // without Redis, nothing is reserved there
        return true;
    auto life = keep_;
    for (auto const& one : made.rules)
        if (one.rule->algorithm == algorithm::concurrency && one.asked)
            life = std::min(life, one.window);
    way.reserved_ = detail::reservation_ptr{std::make_shared<detail::reservation>(
        limiter_, limiter_.get_executor(), std::move(asked), made.request_id, keep_)};
    way.reserved_->begin(life);
    return true;
}

} // namespace weir::http
