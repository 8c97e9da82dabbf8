#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/redis_questions.hpp"
#include "cli/redis_session.hpp"
#include "config/values.hpp"

#include <weir/circuit/script.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using fields = std::map<std::string, std::string, std::less<>>;

constexpr std::chrono::seconds default_timeout{1};

std::int64_t number(fields const& of, std::string_view name) {
    auto const found = of.find(name);
    return found == of.end() ? 0 : std::strtoll(found->second.c_str(), nullptr, 10);
}

std::string text(fields const& of, std::string_view name) {
    auto const found = of.find(name);
    return found == of.end() ? std::string() : found->second;
}

/// Names and values in turn, as HGETALL and the entries of a stream have them.
fields pairs_of(redis::flat_reply const& reply, std::size_t from, std::size_t count) {
    fields result;
    auto const& nodes = reply.nodes();
    for (std::size_t i = from; i + 1 < from + count && i + 1 < nodes.size(); i += 2)
        result.emplace(reply.text(nodes[i]), reply.text(nodes[i + 1]));
    return result;
}

fields read_hash(redis_session& session, std::string const& key) {
    redis::flat_reply reply;
    ask(session, redis::command().start(2).arg("HGETALL").key(key), reply);
    return pairs_of(reply, 1, reply.nodes().size() - 1);
}

ordered_json tripped_json(fields const& of) {
    auto const parsed = ordered_json::parse(text(of, "tripped"), nullptr, false);
    return parsed.is_object() ? parsed : ordered_json(nullptr);
}

ordered_json circuit_json(std::string const& name, fields const& of, std::int64_t now) {
    ordered_json result{{"name", name}, {"state", of.empty() ? "closed" : text(of, "state")}};
    if (of.empty())
        return result;
    result["epoch"] = number(of, "epoch");
    result["for_ms"] = (now - number(of, "since")) / 1000;
    if (auto const until = number(of, "until"); until > 0)
        result["remaining_ms"] = std::max<std::int64_t>(until - now, 0) / 1000;
    for (auto const* each : {"calls", "failures", "slow", "voters", "votes"})
        result[each] = number(of, each);
    for (auto const* each : {"who", "note"})
        if (auto value = text(of, each); !value.empty())
            result[each] = std::move(value);
    result["tripped"] = tripped_json(of);
    return result;
}

void print_circuit(std::string const& name, fields const& of, std::int64_t now) {
    std::cout << name << ": " << (of.empty() ? "closed" : text(of, "state"));
    if (of.empty()) {
        std::cout << " (Redis knows nothing of it)\n";
        return;
    }
    std::cout << " for " << seconds_text(now - number(of, "since"));
    if (auto const until = number(of, "until"); until > 0)
        std::cout << ", for " << seconds_text(until - now) << " more";
    if (auto const who = text(of, "who"); !who.empty())
        std::cout << ", set by " << who << (text(of, "note").empty() ? "" : ": " + text(of, "note"));
    std::cout << "; " << number(of, "calls") << " calls, " << number(of, "failures") << " failures, "
              << number(of, "slow") << " slow, of " << number(of, "voters") << " instances\n";
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
    std::vector<fields> result;
    auto const& nodes = reply.nodes();
    for (std::size_t i = 1; i + 2 < nodes.size();) { // each: an array of its id and an array of fields
        auto const count = static_cast<std::size_t>(nodes[i + 2].value);
        result.push_back(pairs_of(reply, i + 3, count));
        result.back().emplace("id", reply.text(nodes[i + 1]));
        i += 3 + count;
    }
    return result;
}

void print_history(std::vector<fields> const& history, std::int64_t now) {
    for (auto const& each : history) {
        auto const at = std::strtoll(text(each, "id").c_str(), nullptr, 10) * 1000;
        std::cout << "  " << seconds_text(now - at) << " ago: " << text(each, "from") << " -> " << text(each, "to")
                  << ", " << text(each, "reason");
        if (auto const who = text(each, "who"); !who.empty())
            std::cout << " (" << who << (text(each, "note").empty() ? "" : ": " + text(each, "note")) << ')';
        std::cout << '\n';
    }
}

int list(redis_session& session, circuit_options const& options, bool json) {
    auto const now = server_time(session);
    ordered_json all = ordered_json::array();
    for (auto const& name : find_names(session, options.key_prefix + "circuit:", "hash", "circuits")) {
        auto const of = read_hash(session, options.key_prefix + "circuit:" + name);
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
    auto const now = server_time(session);
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
    redis_session session(redis_address(options.redis), default_timeout, circuit::scripts());
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
