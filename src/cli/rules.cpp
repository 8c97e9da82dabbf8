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

std::string rule_line(rule_decision const& said) {
    auto line = "  " + said.rule->name + ": " + std::to_string(said.remaining) + " of " + std::to_string(said.limit) +
                " left in " + config::format_duration(said.window);
    if (said.retry_after == never)
        line += "; never admits this cost";
    else if (!said.allowed)
        line += "; room in " + time_text(said.retry_after);
    if (said.reset_after.count() > 0)
        line += "; all of it in " + time_text(said.reset_after);
    return line;
}

asio::awaitable<error_code> ask(limiter& through, std::vector<charge> const& charges, decision& out) {
    error_code ec;
    co_await through.async_check(charges, out, asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
}

asio::awaitable<std::uint64_t> reset(redis_session& session, limiter& through, key_part user, key_part endpoint) {
    error_code ec;
    auto forgotten = co_await through.async_reset(user, endpoint, asio::redirect_error(asio::use_awaitable, ec));
    if (ec)
        throw redis_failure(ec, session.client().last_error_text(), session.where());
    co_return forgotten;
}

} // namespace

asked_rules ask_rules(rule_options const& options) {
    asked_rules asked;
    asked.user = options.user;
    asked.endpoint = options.endpoint;
    std::optional<config::redis_settings> configured;
    try {
        for (auto const& text : options.limits)
            asked.rules.push_back({config::parse_rule(text)});
    } catch (config::value_error const& e) {
        throw failure("usage", std::string("--limit: ") + e.what(), {});
    }
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
    try {
        if (!options.timeout.empty())
            asked.timeout = config::parse_duration(options.timeout);
    } catch (config::value_error const& e) {
        throw failure("usage", std::string("--timeout: ") + e.what(), {});
    }
    if (asked.timeout < std::chrono::milliseconds{1} || asked.timeout > std::chrono::hours{1})
        throw failure("usage", "--timeout: must be from 1ms to 1h", {});
    refuse_twice(asked);
    asked.where = options.redis.empty() && configured ? redis_address(*configured) : redis_address(options.redis);
    return asked;
}

decision decide(redis_session& session, asked_rules const& asked, std::uint64_t cost) {
    std::vector<charge> charges;
    for (auto const& one : asked.rules)
        charges.push_back({&one.rule, asked.user_of(one), asked.endpoint_of(one), cost});
    limiter_options options;
    options.key_prefix = asked.key_prefix;
    limiter through(session.client(), std::move(options));
    decision result;
    auto ec = session.run(ask(through, charges, result));
    if (!ec)
        ec = result.error; // decided here and not by Redis: no answer to the question
    if (ec)
        throw redis_failure(ec, session.client().last_error_text(), asked.where);
    return result;
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

void print_decision(asked_rules const& asked, decision const& d, std::uint64_t cost, bool json) {
    if (json) {
        auto rules = nlohmann::ordered_json::array();
        for (auto const& said : d.rules)
            rules.push_back({{"rule", said.rule->name},
                             {"allowed", said.allowed},
                             {"limit", said.limit},
                             {"window_ms", said.window.count()},
                             {"remaining", said.remaining},
                             {"retry_after_ms", time_json(said.retry_after)},
                             {"reset_after_ms", time_json(said.reset_after)}});
        std::cout << json_text({{"allowed", d.allowed},
                                {"user", asked.user},
                                {"endpoint", asked.endpoint},
                                {"cost", cost},
                                {"binding", d.rules.at(d.binding).rule->name},
                                {"retry_after_ms", time_json(d.retry_after)},
                                {"rules", rules}});
        return;
    }
    std::cout << (d.allowed ? "allowed" : "refused") << ": " << asked.user << " at " << asked.endpoint;
    if (!d.allowed)
        std::cout << " by " << d.rules.at(d.binding).rule->name << ", "
                  << (d.retry_after == never ? std::string("for ever: it costs more than the limit")
                                             : "for another " + time_text(d.retry_after));
    std::cout << '\n';
    for (auto const& said : d.rules)
        std::cout << rule_line(said) << '\n';
}

} // namespace weir::cli
