#include "admin/circuit_record.hpp"
#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/redis_questions.hpp"
#include "cli/redis_session.hpp"
#include "config/values.hpp"

#include <weir/circuit/script.hpp>

#include <cstdlib>
#include <iostream>

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using fields = admin::circuit_fields;
using admin::circuit_json;
using admin::number_of;
using admin::text_of;
using admin::tripped_json;

fields read_hash(redis_session& session, std::string const& key) {
    redis::flat_reply reply;
    ask(session, redis::command().start(2).arg("HGETALL").key(key), reply);
    return admin::read_circuit_hash(reply);
}

void print_circuit(std::string const& name, fields const& of, std::int64_t now) {
    std::cout << name << ": " << (of.empty() ? "closed" : text_of(of, "state"));
    if (of.empty()) {
        std::cout << " (Redis knows nothing of it)\n";
        return;
    }
    std::cout << " for " << seconds_text(now - number_of(of, "since"));
    if (auto const until = number_of(of, "until"); until > 0)
        std::cout << ", for " << seconds_text(until - now) << " more";
    if (auto const who = text_of(of, "who"); !who.empty())
        std::cout << ", set by " << who << (text_of(of, "note").empty() ? "" : ": " + text_of(of, "note"));
    std::cout << "; " << number_of(of, "calls") << " calls, " << number_of(of, "failures") << " failures, "
              << number_of(of, "slow") << " slow, of " << number_of(of, "voters") << " instances\n";
}

void print_tripped(fields const& of, std::int64_t now) {
    auto const why = tripped_json(of);
    if (!why.is_object())
        return;
    auto const at = std::strtoll(why.value("at", "0").c_str(), nullptr, 10);
    std::cout << "  last opened " << seconds_text(now - at) << " ago: " << why.value("reason", "") << ", "
              << why.value("failures", 0) << " failures and " << why.value("slow", 0) << " slow of "
              << why.value("calls", 0) << " calls, seen by " << why.value("votes", 0) << " of "
              << why.value("voters", 0) << " instances\n";
    if (why.contains("errors") && why["errors"].is_array())
        for (auto const& each : why["errors"])
            if (each.is_string())
                std::cout << "    " << each.get<std::string>() << '\n';
}

/// The latest changes, newest first.
std::vector<fields> read_history(redis_session& session, std::string const& key) {
    redis::flat_reply reply;
    ask(session, redis::command().start(6).arg("XREVRANGE").key(key).arg("+").arg("-").arg("COUNT").arg("10"), reply);
    return admin::read_circuit_history(reply);
}

void print_history(std::vector<fields> const& history, std::int64_t now) {
    for (auto const& each : history) {
        auto const at = std::strtoll(text_of(each, "id").c_str(), nullptr, 10) * 1000;
        std::cout << "  " << seconds_text(now - at) << " ago: " << text_of(each, "from") << " -> "
                  << text_of(each, "to") << ", " << text_of(each, "reason");
        if (auto const who = text_of(each, "who"); !who.empty())
            std::cout << " (" << who << (text_of(each, "note").empty() ? "" : ": " + text_of(each, "note")) << ')';
        std::cout << '\n';
    }
}

int list(redis_session& session, circuit_options const& options, bool json) {
    auto const in_braces = layout_of(session) == key_layout::cluster;
    auto const begin = options.key_prefix + (in_braces ? "circuit:{" : "circuit:");
    ordered_json all = ordered_json::array();
    for (auto const& key : find_keys(session, begin, "hash")) {
        auto const name = key.substr(begin.size(), key.size() - begin.size() - (in_braces ? 1 : 0));
        auto const now = server_time(session, key);
        auto const of = read_hash(session, key);
        if (json)
            all.push_back(circuit_json(name, of, now));
        else
            print_circuit(name, of, now);
    }
    if (json)
        std::cout << json_text(all);
    return exit_yes;
}

int show(redis_session& session, circuit_options const& options, bool json) {
    std::string key, history_key;
    append_circuit_key(key, options.key_prefix, options.name, layout_of(session));
    append_circuit_history_key(history_key, options.key_prefix, options.name, layout_of(session));
    auto const now = server_time(session, key);
    auto const of = read_hash(session, key);
    auto const history = read_history(session, history_key);
    if (json) {
        auto result = circuit_json(options.name, of, now);
        result["history"] = ordered_json::array();
        for (auto const& each : history)
            result["history"].push_back(each);
        std::cout << json_text(result);
    } else {
        print_circuit(options.name, of, now);
        print_tripped(of, now);
        print_history(history, now);
    }
    return exit_yes;
}

int set(redis_session& session, circuit_options const& options, bool json) {
    circuit::override_request request;
    request.to = options.to;
    if (!options.lasts.empty()) {
        try {
            request.lasts = config::parse_duration(options.lasts);
        } catch (config::value_error const& e) {
            throw failure("usage", std::string("--for: ") + e.what(), {});
        }
    }
    auto const who = options.who.empty() ? default_who() : options.who;
    request.who = who;
    request.why = options.why;
    circuit::script_calls const calls(options.key_prefix, options.name, layout_of(session), {}, {}, "weir-cli");
    redis::command command;
    circuit::script_reply reply;
    calls.encode(command, request);
    ask(session, command, reply);
    auto const answer = circuit::read_reply(reply);
    if (!answer)
        throw failure("unexpected_reply", "the script has an answer of another shape", "is the key a circuit?");
    auto const result = static_cast<circuit::override_result>(answer->extra);
    auto const state = std::string(circuit::to_string(answer->view.now));
    bool const changed = result == circuit::override_result::done;
    if (json)
        std::cout << json_text({{"name", options.name}, {"state", state}, {"changed", changed}});
    else
        std::cout << options.name << ": " << state << (changed ? "" : ", as it was") << '\n';
    return result == circuit::override_result::illegal ? exit_no : exit_yes;
}

} // namespace

int run_command(circuit_options const& options, bool json) {
    redis_session session(redis_address(options.redis), one_command_timeout, circuit::scripts());
    switch (options.what) {
    case circuit_options::action::list:
        return list(session, options, json);
    case circuit_options::action::show:
        return show(session, options, json);
    case circuit_options::action::set:
        return set(session, options, json);
    }
    return exit_error;
}

} // namespace weir::cli
