#include "service/planned_checks.hpp"

#include "config/values.hpp"
#include "proxy/head_writer.hpp"

#include <weir/http/json_string.hpp>
#include <weir/http/limit_answer.hpp>

namespace weir::service {
namespace {

using proxy::append_number;

key_part user_of(config::limit const& limit, check_item const& item) {
    return limit.per.front().from == config::per_part::type::everyone ? key_part::any() : key_part{item.user};
}

void append_bool(std::string& out, std::string_view name, bool value) {
    out.append(name).append(value ? "true" : "false");
}

/// Milliseconds; null stands for never.
void append_time(std::string& out, std::string_view name, std::chrono::milliseconds time) {
    out.append(name);
    if (time == never)
        out.append("null");
    else
        append_number(out, static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count())));
}

void append_rule(std::string& out, rule_decision const& said) {
    out.append(R"({"rule":)");
    http::append_json_string(out, said.rule->name);
    append_bool(out, R"(,"allowed":)", said.allowed);
    out.append(R"(,"outcome":")").append(to_string(said.outcome)).append(R"(","limit":)");
    append_number(out, said.limit);
    append_time(out, R"(,"window_ms":)", said.window);
    out.append(R"(,"remaining":)");
    append_number(out, said.remaining);
    append_bool(out, R"(,"never":)", said.retry_after == never);
    append_time(out, R"(,"retry_after_ms":)", said.retry_after);
    append_time(out, R"(,"reset_after_ms":)", said.reset_after);
    out += '}';
}

} // namespace

bool planned_checks::read(std::string_view body, question what, config::config const& config, proxy::id_source& ids) {
    what_ = what;
    issues_.clear();
    count_ = 0;
    read_check_body(body, what, body_, issues_);
    if (!issues_.empty())
        return false;
    count_ = body_.items.size();
    if (checks_.size() < count_)
        checks_.resize(count_);
    for (std::size_t i = 0; i < count_; ++i) {
        auto& asked = body_.items[i];
        if (what == question::reserve && asked.request_id.empty())
            ids.append(asked.request_id);
        plan(config, i);
    }
    return issues_.empty();
}

bool planned_checks::choose_limits(config::config const& config, std::size_t item) {
    auto const& asked = body_.items[item];
    auto& limits = checks_[item].limits;
    limits.clear();
    if (!asked.rule.empty()) {
        if (auto const index = config.find_limit(asked.rule)) {
            limits.push_back(*index);
            return true;
        }
        std::vector<std::string_view> known;
        for (auto const& each : config.limits)
            known.push_back(each.rule.name);
        issues_.push_back({body_.pointer_of(item) + "/rule",
                           "no limit is called \"" + asked.rule + '"' + config::suggest_name(asked.rule, known)});
        return false;
    }
    if (config.limits.empty() || config.limits.size() > max_rules_per_check) {
        issues_.push_back({body_.pointer_of(item), "the configuration has " + std::to_string(config.limits.size()) +
                                                       " limits, and one check asks 1 to " +
                                                       std::to_string(max_rules_per_check) +
                                                       ": name one with \"rule\""});
        return false;
    }
    for (std::size_t i = 0; i < config.limits.size(); ++i)
        limits.push_back(i);
    return true;
}

void planned_checks::plan(config::config const& config, std::size_t item) {
    if (!choose_limits(config, item))
        return;
    auto const& asked = body_.items[item];
    auto& check = checks_[item];
    check.charges.clear();
    check.options = {};
    check.options.request_id = asked.request_id;
    if (asked.keep_ms)
        check.options.keep = std::chrono::milliseconds{*asked.keep_ms};
    check.path.key.clear();
    for (auto const index : check.limits) {
        auto const& limit = config.limits[index];
        key_part endpoint{asked.endpoint};
        if (limit.endpoint == config::endpoint_scope::any)
            endpoint = key_part::any();
        if (limit.endpoint == config::endpoint_scope::path) {
            http::refusal why;
            if (check.path.key.empty() && !http::canonicalize(asked.endpoint, check.path, why)) {
                issues_.push_back({body_.pointer_of(item) + "/endpoint",
                                   "the limit \"" + limit.rule.name +
                                       "\" counts by path, and this is none: " + std::string(why.reason)});
                return;
            }
            endpoint = key_part{check.path.key};
        }
        check.charges.push_back({&limit.rule, user_of(limit, asked), endpoint, cost_of(limit, asked)});
    }
}

std::uint64_t planned_checks::cost_of(config::limit const& limit, check_item const& asked) const noexcept {
    if (asked.cost)
        return *asked.cost;
    return what_ == question::settle ? as_reserved : what_ == question::extend ? 0 : limit.cost;
}

void planned_checks::count(proxy::admission& in) const {
    using metrics::cost_kind;
    for (auto const& each : checks()) {
        if (each.error)
            continue;
        if (what_ != question::settle)
            in.count(each.limits, each.charges, each.decision);
        for (std::size_t i = 0; i < each.limits.size(); ++i) {
            auto const cost = each.charges[i].cost;
            if (what_ == question::settle) {
                auto const& became = each.settlement.rules[i];
                in.count_cost(each.limits[i], cost_kind::settled, cost == as_reserved ? became.reserved : cost);
                in.count_cost(each.limits[i], cost_kind::refunded, became.refunded);
            } else if (what_ != question::check && each.decision.allowed) {
                in.count_cost(each.limits[i], cost_kind::reserved, cost);
            }
        }
    }
}

void planned_checks::remember(proxy::refusal_log& in, proxy::exchange const& x, std::string_view client) const {
    for (auto const& each : checks()) {
        if (what_ == question::settle || each.error || each.decision.allowed)
            continue;
        auto const detail = http::refusal_detail(each.decision);
        in.add(
            {.request_id = each.options.request_id.empty() ? std::string_view{x.request_id} : each.options.request_id,
             .client = client,
             .method = x.request.method,
             .path = x.request.target,
             .route = {},
             .detail = detail,
             .status = http::refusal_status(each.decision)},
            each.decision, each.charges);
    }
}

unsigned planned_checks::failure() const noexcept {
    auto const& error = checks().front().error;
    if (!error || body_.array)
        return 0;
    return error == errc::unknown_request                                       ? 404
           : error == errc::already_settled || error == errc::request_id_reused ? 409
                                                                                : 503;
}

void planned_checks::append_decision(std::string& out, planned_check const& check) const {
    auto const& made = check.decision;
    if (check.error) { // of one of an array
        out.append(R"({"error":)");
        http::append_json_string(out, check.error.message());
        out += '}';
        return;
    }
    append_bool(out, R"({"allowed":)", made.allowed);
    auto const& binding = made.rules[made.binding];
    out.append(R"(,"outcome":")").append(to_string(binding.outcome)).append(R"(","binding":)");
    http::append_json_string(out, binding.rule->name);
    append_bool(out, R"(,"never":)", made.retry_after == never);
    append_time(out, R"(,"retry_after_ms":)", made.retry_after);
    // A limit of places in flight makes an id where none was given.
    auto const id = made.request_id.empty() ? check.options.request_id : std::string_view{made.request_id};
    if (!id.empty()) {
        out.append(R"(,"request_id":)");
        http::append_json_string(out, id);
    }
    out.append(R"(,"rules":[)");
    for (std::size_t i = 0; i < made.rules.size(); ++i) {
        if (i != 0)
            out += ',';
        append_rule(out, made.rules[i]);
    }
    out.append("]}");
}

void planned_checks::append_settlement(std::string& out, planned_check const& check) const {
    out.append(R"({"request_id":)");
    http::append_json_string(out, check.options.request_id);
    out.append(R"(,"rules":[)");
    for (auto const& each : check.settlement.rules) {
        out.append(&each == check.settlement.rules.data() ? R"({"rule":)" : R"(,{"rule":)");
        http::append_json_string(out, each.rule->name);
        out.append(R"(,"reserved":)");
        append_number(out, each.reserved);
        out.append(R"(,"refunded":)");
        append_number(out, each.refunded);
        out += '}';
    }
    out.append("]}");
}

void planned_checks::append_answer(std::string& out) const {
    if (body_.array)
        out += '[';
    for (auto const& each : checks()) {
        if (&each != checks_.data())
            out += ',';
        if (what_ == question::settle)
            append_settlement(out, each);
        else
            append_decision(out, each);
    }
    if (body_.array)
        out += ']';
    out += '\n';
}

} // namespace weir::service
