#pragma once

#include "cli/options.hpp"
#include "cli/redis_session.hpp"

#include <weir/rate_limit/limiter.hpp>

#include <nlohmann/json.hpp>

#include <optional>

namespace weir::cli {

/// The rules that a command asks, and how to reach their counts.
struct asked_rules {
    /// A rule, and what of user and endpoint it tells apart.
    struct one {
        weir::rule rule;
        bool any_user = false;
        bool any_endpoint = false;
        /// The endpoint as this rule counts it, where that is not what was asked: a path in its canonical form.
        std::string endpoint = {};
    };
    std::vector<one> rules;
    std::string user;
    std::string endpoint;
    redis::address where;
    std::string key_prefix;
    std::chrono::milliseconds timeout{1000};

    key_part user_of(one const& asked) const { return asked.any_user ? key_part::any() : key_part(user); }
    key_part endpoint_of(one const& asked) const {
        if (asked.any_endpoint)
            return key_part::any();
        return key_part(asked.endpoint.empty() ? endpoint : asked.endpoint);
    }
};

/// Reads the flags and, if it is named, the configuration file. Throws `failure`.
asked_rules ask_rules(rule_options const& options);

/// Asks all rules together and charges `cost` to each; 0 only asks. Waits for room for `wait` at most. Throws `failure`
/// when Redis did not decide.
decision decide(redis_session& session, asked_rules const& asked, std::uint64_t cost,
                std::chrono::milliseconds wait = {});

/// What a decision may take, from a flag, 1 ms to 1 h; nothing: the flag is not given. Throws `failure`.
std::optional<std::chrono::milliseconds> timeout_from_flag(std::string const& text);

/// How long to wait, from a flag. Throws `failure`.
std::chrono::milliseconds parse_wait(std::string const& text);

/// Forgets what was counted for each rule, or without rules for all; the number of rules (of keys, without rules) that
/// had counted something. Throws `failure`.
std::uint64_t forget(redis_session& session, asked_rules const& asked);

/// Takes `units` back from each rule, those charged last first; how many were. Throws `failure`.
std::uint64_t take_back(redis_session& session, asked_rules const& asked, std::uint64_t units);

/// A number of units from a flag, 0 to `max_cost`. Throws `failure`.
std::uint64_t parse_units(char const* flag, std::string const& text);

/// Prints a decision; `cost` as asked.
void print_decision(asked_rules const& asked, decision const& d, std::uint64_t cost, bool json);

} // namespace weir::cli
