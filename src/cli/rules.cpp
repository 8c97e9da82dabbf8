#include "cli/rules.hpp"

#include "cli/json_text.hpp"
#include "config/load.hpp"
#include "config/values.hpp"

#include <weir/http/canonical_target.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdio>
#include <iostream>

namespace weir::cli {
namespace {

/// What `parse` reads from a flag.
template <class Parse>
auto from_flag(char const* flag, Parse parse) {
    try {
        return parse();
    } catch (config::value_error const& e) {
        throw failure("usage", std::string(flag) + ": " + e.what(), {});
    }
}

asked_rules::one rule_of_file(config::config const& file, std::string const& name, std::string const& endpoint) {
    auto index = file.find_limit(name);
    if (!index) {
        std::vector<std::string_view> known;
        for (auto const& limit : file.limits)
            known.push_back(limit.rule.name);
        throw failure("usage", "--rule: no limit is called \"" + name + '"' + config::suggest_name(name, known), {});
    }
    auto const& limit = file.limits[*index];
    asked_rules::one asked{limit.rule, limit.per.front().from == config::per_part::type::everyone,
                           limit.endpoint == config::endpoint_scope::any};
    if (limit.endpoint == config::endpoint_scope::path) {
        http::canonical_target path;
        http::refusal why;
        if (!http::canonicalize(endpoint, path, why))
            throw failure("usage",
                          "--endpoint: the limit \"" + name +
                              "\" counts by path, and this is none: " + std::string(why.reason),
                          {});
        asked.endpoint = path.key;
    }
    return asked;
}

/// Where two rules of one request share a name, their counts would mix.
void refuse_twice(asked_rules const& asked) {
    for (std::size_t i = 0; i < asked.rules.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (asked.rules[i].rule.name == asked.rules[j].rule.name)
                throw failure("usage", "the limit \"" + asked.rules[i].rule.name + "\" is asked twice", {});
}

/// "1.234 s", "2 m 5 s": time as people read it.
std::string time_text(std::chrono::milliseconds time) {
    char text[64];
    auto ms = time.count();
    if (ms < 60'000)
        std::snprintf(text, sizeof text, "%lld.%03lld s", static_cast<long long>(ms / 1000),
                      static_cast<long long>(ms % 1000));
    else
        std::snprintf(text, sizeof text, "%lld m %lld s", static_cast<long long>(ms / 60'000),
                      static_cast<long long>(ms % 60'000 / 1000));
    return text;
}

/// Milliseconds; null stands for never.
nlohmann::ordered_json time_json(std::chrono::milliseconds time) {
    if (time == never)
        return nullptr;
    return time.count();
}

/// "3 of 10 left in 1m", by how the rule counts.
std::string share_text(rule_decision const& said) {
    auto const time = config::format_duration(said.window);
    auto const share = std::to_string(said.remaining) + " of " + std::to_string(said.limit);
    switch (said.rule->algorithm) {
    case algorithm::sliding_window:
    case algorithm::fixed_window:
        break;
    case algorithm::token_bucket:
        return share + " left, full again in at most " + time;
    case algorithm::concurrency:
        return share + " places free, leased for " + time;
    }
    return share + " left in " + time;
}

std::string rule_line(rule_decision const& said) {
    auto line = "  " + said.rule->name + ", " + std::string(to_string(said.rule->algorithm));
    if (said.rule->shadow)
        line += ", on trial";
    if (said.listed)
        return line + (said.allowed ? ": the user is on its allow list" : ": the user is on its deny list");
    if (!said.asked)
        return line + ": not asked";
    line += ": " + share_text(said);
    if (said.retry_after == never)
        line += "; never admits this cost";
    else if (!said.allowed)
        line += "; room in " + time_text(said.retry_after);
    if (said.reset_after.count() > 0)
        line += "; all of it in " + time_text(said.reset_after);
    return line;
}

std::string refusal_text(decision const& d) {
    auto const& said = d.rules.at(d.binding);
    auto const text = " by " + said.rule->name + ", ";
    if (said.listed)
        return text + "for ever: the user is on its deny list";
    if (d.retry_after == never)
        return text + "for ever: it costs more than the limit";
    return text + "for another " + time_text(d.retry_after);
}

/// The rule that `--limit` says, counted as `--algorithm` and `--burst` say. Another algorithm counts in its own way,
/// so that a rule without a name of its own must not share that of a sliding window.
weir::rule parse_limit(std::string const& text, rule_options const& options) {
    auto rule = from_flag("--limit", [&] { return config::parse_rule(text); });
    if (!options.algorithm.empty())
        rule.algorithm = from_flag("--algorithm", [&] { return config::parse_algorithm(options.algorithm); });
    if (rule.algorithm != algorithm::sliding_window && text.find('=') == text.npos)
        rule.name += "-" + std::string(to_string(rule.algorithm));
    if (!options.burst.empty())
        rule.burst = parse_units("--burst", options.burst);
    if (!options.burst.empty() && rule.burst == 0)
        throw failure("usage", "--burst: at least 1", {});
    if (auto const problem = problem_of(rule); !problem.empty())
        throw failure("usage", "--limit " + text + ": " + problem,
                      rule.burst > 0 && rule.algorithm != algorithm::token_bucket ? "add --algorithm token_bucket"
                                                                                  : "");
    return rule;
}

void refuse_without_limit(rule_options const& options) {
    for (auto const& [flag, text] : {std::pair{"--algorithm", &options.algorithm}, {"--burst", &options.burst}})
        if (options.limits.empty() && !text->empty())
            throw failure("usage", std::string(flag) + " belongs to --limit: a --rule has its own",
                          "write it in the file");
}

asio::awaitable<error_code> ask(limiter& through, std::vector<charge> const& charges, std::chrono::milliseconds wait,
                                decision& out) {
    error_code ec;
    request_options how;
    how.max_wait = wait;
    co_await through.async_check(charges, how, out, asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
}

asio::awaitable<std::uint64_t> reset(redis_session& session, limiter& through, key_part user, key_part endpoint) {
    error_code ec;
    auto forgotten = co_await through.async_reset(user, endpoint, asio::redirect_error(asio::use_awaitable, ec));
    if (ec)
        throw redis_failure(ec, session.client().last_error_text(), session.where());
    co_return forgotten;
}

asio::awaitable<std::uint64_t> refund(redis_session& session, limiter& through, charge what) {
    error_code ec;
    auto taken = co_await through.async_refund(std::span{&what, 1}, asio::redirect_error(asio::use_awaitable, ec));
    if (ec)
        throw redis_failure(ec, session.client().last_error_text(), session.where());
    co_return taken;
}

} // namespace

asked_rules ask_rules(rule_options const& options) {
    asked_rules asked;
    asked.user = options.user;
    asked.endpoint = options.endpoint;
    std::optional<config::redis_settings> configured;
    refuse_without_limit(options);
    for (auto const& text : options.limits)
        asked.rules.push_back({parse_limit(text, options)});
    if (!options.config_file.empty()) {
        auto file = config::load_file(options.config_file);
        if (!file.value)
            throw failure("config", to_string(file.issues.front(), options.config_file),
                          "see weir config check " + options.config_file);
        for (auto const& name : options.rules)
            asked.rules.push_back(rule_of_file(*file.value, name, options.endpoint));
        asked.key_prefix = file.value->redis.key_prefix;
        configured = file.value->redis;
    }
    if (!options.key_prefix.empty())
        asked.key_prefix = options.key_prefix;
    asked.timeout = timeout_from_flag(options.timeout).value_or(asked.timeout);
    refuse_twice(asked);
    asked.where = options.redis.empty() && configured ? redis_address(*configured) : redis_address(options.redis);
    return asked;
}

decision decide(redis_session& session, asked_rules const& asked, std::uint64_t cost, std::chrono::milliseconds wait) {
    std::vector<charge> charges;
    for (auto const& one : asked.rules)
        charges.push_back({&one.rule, asked.user_of(one), asked.endpoint_of(one), cost});
    limiter_options options;
    options.key_prefix = asked.key_prefix;
    limiter through(session.client(), std::move(options));
    decision result;
    auto ec = session.run(ask(through, charges, wait, result));
    if (!ec)
        ec = result.error; // decided here and not by Redis: no answer to the question
    if (ec)
        throw redis_failure(ec, session.client().last_error_text(), asked.where);
    return result;
}

std::optional<std::chrono::milliseconds> timeout_from_flag(std::string const& text) {
    if (text.empty())
        return {};
    auto const timeout = from_flag("--timeout", [&] { return config::parse_duration(text); });
    if (timeout < std::chrono::milliseconds{1} || timeout > std::chrono::hours{1})
        throw failure("usage", "--timeout: must be from 1ms to 1h", {});
    return timeout;
}

std::chrono::milliseconds parse_wait(std::string const& text) {
    return from_flag("--wait", [&] { return config::parse_duration(text); });
}

std::uint64_t forget(redis_session& session, asked_rules const& asked) {
    limiter_options options;
    options.key_prefix = asked.key_prefix;
    if (asked.rules.empty()) {
        limiter through(session.client(), options);
        return session.run(reset(session, through, key_part(asked.user), key_part(asked.endpoint)));
    }
    std::uint64_t forgotten = 0;
    for (auto const& one : asked.rules) { // each knows its own user and endpoint
        limiter through(session.client(), one.rule, options);
        forgotten += session.run(reset(session, through, asked.user_of(one), asked.endpoint_of(one)));
    }
    return forgotten;
}

std::uint64_t take_back(redis_session& session, asked_rules const& asked, std::uint64_t units) {
    for (auto const& one : asked.rules)
        if (one.rule.algorithm == algorithm::concurrency)
            throw failure("usage", "the limit \"" + one.rule.name + "\" counts what is in flight: nothing to refund",
                          "weir limit reset frees all its places");
    limiter_options options;
    options.key_prefix = asked.key_prefix;
    limiter through(session.client(), std::move(options));
    std::uint64_t taken = 0;
    for (auto const& one : asked.rules) { // their keys may lie on different nodes
        bool const listed =
            !one.any_user && (one.rule.allow.contains(asked.user) || one.rule.deny.contains(asked.user));
        if (!listed) // else nothing was ever counted
            taken +=
                session.run(refund(session, through, {&one.rule, asked.user_of(one), asked.endpoint_of(one), units}));
    }
    return taken;
}

std::uint64_t parse_units(char const* flag, std::string const& text) {
    auto const units = from_flag(flag, [&] { return config::parse_whole_number(text); });
    if (units > max_cost)
        throw failure("usage", std::string(flag) + ": at most " + std::to_string(max_cost), {});
    return units;
}

void print_decision(asked_rules const& asked, decision const& d, std::uint64_t cost, bool json) {
    if (json) {
        auto rules = nlohmann::ordered_json::array();
        for (auto const& said : d.rules)
            rules.push_back({{"rule", said.rule->name},
                             {"algorithm", to_string(said.rule->algorithm)},
                             {"allowed", said.allowed},
                             {"outcome", to_string(said.outcome)},
                             {"asked", said.asked},
                             {"listed", said.listed},
                             {"limit", said.limit},
                             {"window_ms", said.window.count()},
                             {"remaining", said.remaining},
                             {"retry_after_ms", time_json(said.retry_after)},
                             {"reset_after_ms", time_json(said.reset_after)}});
        nlohmann::ordered_json answer{{"allowed", d.allowed},
                                      {"user", asked.user},
                                      {"endpoint", asked.endpoint},
                                      {"cost", cost},
                                      {"binding", d.rules.at(d.binding).rule->name},
                                      {"retry_after_ms", time_json(d.retry_after)},
                                      {"waited_ms", d.waited.count()}};
        if (!d.request_id.empty())
            answer["request_id"] = d.request_id;
        answer["rules"] = rules;
        std::cout << json_text(answer);
        return;
    }
    std::cout << (d.allowed ? "allowed" : "refused") << ": " << asked.user << " at " << asked.endpoint;
    std::cout << (d.allowed ? std::string{} : refusal_text(d)) << '\n';
    for (auto const& said : d.rules)
        std::cout << rule_line(said) << '\n';
}

} // namespace weir::cli
