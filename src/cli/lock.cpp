#include "admin/lock_record.hpp"
#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/redis_questions.hpp"

#include <weir/lock/script.hpp>

#include <iostream>
#include <set>

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

using admin::lock_record;

/// Members of a sorted set with their scores.
redis::flat_reply read_members(redis_session& session, std::string const& key) {
    redis::flat_reply reply;
    ask(session, redis::command().start(5).arg("ZRANGE").key(key).arg(0).arg(-1).arg("WITHSCORES"), reply);
    return reply;
}

lock_record read_lock(redis_session& session, std::string const& key, std::string const& queue, std::int64_t now) {
    return {admin::read_lock_holders(read_members(session, key), now),
            admin::read_lock_waiters(read_members(session, queue))};
}

void print_lock(std::string const& name, lock_record const& view, std::int64_t now, bool all) {
    std::cout << name << ": ";
    if (view.holders.empty())
        std::cout << "free";
    for (auto const& each : view.holders) {
        std::cout << (&each == view.holders.data() ? "" : ", ") << "held by " << each.who.who;
        if (each.who.weight > 1 && each.who.weight < lock::max_limit)
            std::cout << " (" << each.who.weight << " permits)";
        std::cout << ", fence " << each.who.fence << ", for " << seconds_text(each.at - now + 999'999)
                  << " unless renewed";
    }
    if (!view.waiters.empty())
        std::cout << "; " << view.waiters.size() << (view.waiters.size() == 1 ? " waits" : " wait");
    std::cout << '\n';
    if (all)
        for (auto const& each : view.waiters)
            std::cout << "  waits for " << seconds_text(now - each.at) << ": " << each.who.who << '\n';
}

int list(redis_session& session, lock_options const& options, bool json) {
    admin::lock_keys const keys(options.key_prefix, layout_of(session));
    std::set<std::string> names;
    for (auto const& key : find_keys(session, keys.begin(), "zset"))
        if (auto const name = keys.name_in(key); !name.empty())
            names.emplace(name);
    ordered_json all = ordered_json::array();
    for (auto const& name : names) {
        // A name is spelled as in its key: what is no letter, digit or one of "-._~/" in percent.
        auto const key = keys.holders_of(name);
        auto const now = server_time(session, key);
        auto const view = read_lock(session, key, keys.waiters_of(name), now);
        if (json)
            all.push_back(admin::lock_json(name, view, now));
        else
            print_lock(name, view, now, false);
    }
    if (json)
        std::cout << json_text(all);
    return exit_yes;
}

int show(redis_session& session, lock_options const& options, bool json) {
    lock::script_calls const calls(options.key_prefix, options.name, layout_of(session));
    auto const now = server_time(session, calls.key());
    auto const view = read_lock(session, calls.key(), calls.queue_key(), now);
    if (json)
        std::cout << json_text(admin::lock_json(options.name, view, now));
    else
        print_lock(options.name, view, now, true);
    return view.holders.empty() ? exit_no : exit_yes;
}

int break_open(redis_session& session, lock_options const& options, bool json) {
    lock::script_calls const calls(options.key_prefix, options.name, layout_of(session));
    redis::command command;
    redis::int_sink<1> reply(1);
    calls.break_open(command, 1, *lock::production_scripts().break_open);
    ask(session, command, reply);
    if (json)
        std::cout << json_text({{"name", options.name}, {"broken", reply[0]}});
    else if (reply[0] > 0)
        std::cout << options.name << ": taken from " << reply[0] << (reply[0] == 1 ? " holder\n" : " holders\n");
    else
        std::cout << options.name << ": nobody held it\n";
    return reply[0] > 0 ? exit_yes : exit_no;
}

} // namespace

int run_command(lock_options const& options, bool json) {
    redis_session session(redis_address(options.redis), one_command_timeout, lock::scripts());
    switch (options.what) {
    case lock_options::action::list:
        return list(session, options, json);
    case lock_options::action::show:
        return show(session, options, json);
    case lock_options::action::break_open:
        return break_open(session, options, json);
    }
    return exit_error;
}

} // namespace weir::cli
