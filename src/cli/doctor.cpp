#include "cli/doctor.hpp"

#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/rules.hpp"
#include "config/load.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace weir::cli {
namespace {

using level = finding::level;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int ping_count = 200;

struct patient {
    redis::address where;
    std::string key_prefix;
    milliseconds timeout{50};
};

patient find_patient(doctor_options const& options) {
    patient found;
    auto const own = timeout_from_flag(options.timeout);
    if (!options.config_file.empty()) {
        auto file = config::load_file(options.config_file);
        if (!file.value)
            throw failure("config", to_string(file.issues.front(), options.config_file),
                          "see weir config check " + options.config_file);
        found.key_prefix = file.value->redis.key_prefix;
        found.timeout = own.value_or(file.value->redis.timeout);
        if (options.redis.empty()) {
            found.where = redis_address(file.value->redis);
            return found;
        }
    }
    found.timeout = own.value_or(found.timeout);
    found.where = redis_address(options.redis);
    return found;
}

/// Executes one command; the error and, where Redis refused, its words.
asio::awaitable<error_code> exec(redis_session& session, redis::command const& what, redis::string_sink& reply) {
    error_code ec;
    co_await session.client().async_exec(what, reply, {}, asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
}

std::string words(error_code ec, redis::string_sink const& reply) {
    return reply.error_text().empty() ? ec.message() : reply.error_text();
}

void ask_info(redis_session& session, std::vector<finding>& findings) {
    redis::string_sink reply;
    redis::command info("INFO");
    if (auto ec = session.run(exec(session, info, reply))) {
        findings.push_back({level::note, "info", words(ec, reply),
                            "allow INFO to this user (ACL SETUSER USER +info) to have memory, eviction and persistence "
                            "examined"});
        return;
    }
    for (auto& found : judge_info(parse_info(reply.value()), session.where().topology == redis::topology::cluster))
        findings.push_back(std::move(found));
}

void ask_clock(redis_session& session, std::vector<finding>& findings) {
    using std::chrono::system_clock;
    // An integer array is what int_sink takes; TIME answers strings.
    redis::flat_reply reply;
    redis::command time("TIME");
    auto ask = [](redis::client& client, redis::command const& what,
                  redis::flat_reply& out) -> asio::awaitable<error_code> {
        error_code ec;
        co_await client.async_exec(what, out, {}, asio::redirect_error(asio::use_awaitable, ec));
        co_return ec;
    };
    auto before = system_clock::now();
    auto ec = session.run(ask(session.client(), time, reply));
    auto middle = before + (system_clock::now() - before) / 2;
    if (ec || reply.nodes().size() != 3) {
        auto refused =
            redis_failure(ec ? ec : error_code(errc::unexpected_reply), "TIME: " + ec.message(), session.where());
        findings.push_back({level::problem, "clock", refused.what(), refused.remedy()});
        return;
    }
    auto part = [&](std::size_t index) { return std::stoll(std::string(reply.text(reply.nodes()[index]))); };
    auto there = std::chrono::seconds{part(1)} + microseconds{part(2)};
    auto here = std::chrono::duration_cast<microseconds>(middle.time_since_epoch());
    findings.push_back(judge_clock(there - here));
}

void ask_latency(redis_session& session, milliseconds timeout, std::vector<finding>& findings) {
    std::vector<microseconds> samples;
    redis::command ping("PING");
    redis::string_sink reply;
    for (int i = 0; i < ping_count; ++i) {
        auto before = boot_clock::now();
        if (session.run(exec(session, ping, reply)))
            return; // whatever it is, the scripts meet it too, and say so
        samples.push_back(std::chrono::duration_cast<microseconds>(boot_clock::now() - before));
    }
    findings.push_back(judge_latency(std::move(samples), timeout));
}

/// Loads the script and takes one decision on a key of its own.
void try_decision(redis_session& session, patient const& who, std::vector<finding>& findings) {
    redis::string_sink reply;
    redis::command load("SCRIPT", "LOAD", rate_check_script().source());
    if (auto ec = session.run(exec(session, load, reply))) {
        auto refused = redis_failure(ec, words(ec, reply), session.where());
        findings.push_back({level::problem, "scripts", refused.what(), refused.remedy()});
        return;
    }
    asked_rules asked;
    asked.rules.push_back({weir::rule{.name = "doctor", .limit = 1, .window = milliseconds{1000}}});
    asked.user = "weir-doctor-" + std::to_string(::getpid());
    asked.endpoint = "doctor";
    asked.where = who.where;
    asked.key_prefix = who.key_prefix;
    try {
        auto first = decide(session, asked, 1);
        auto second = decide(session, asked, 1);
        forget(session, asked);
        if (first.allowed && !second.allowed)
            findings.push_back(
                {level::ok, "decisions", "one admitted, the next refused, as the limit of one says", {}});
        else
            findings.push_back({level::problem, "decisions", "a limit of one did not hold",
                                "is this a Redis, and no proxy that spreads keys over several?"});
    } catch (failure const& refused) {
        findings.push_back({level::problem, "decisions", refused.what(), refused.remedy()});
    }
}

void print(patient const& who, std::vector<finding> const& findings, bool healthy, bool json) {
    if (json) {
        auto list = nlohmann::ordered_json::array();
        for (auto const& found : findings) {
            nlohmann::ordered_json one{
                {"check", found.what}, {"level", to_string(found.how)}, {"detail", found.detail}};
            if (!found.remedy.empty())
                one["remedy"] = found.remedy;
            list.push_back(std::move(one));
        }
        std::cout << json_text({{"redis", who.where.display()}, {"healthy", healthy}, {"findings", list}});
        return;
    }
    std::cout << who.where.display() << '\n';
    auto padded = [](std::string_view text, std::size_t width) {
        return std::string(text) + std::string(width - std::min(width, text.size()), ' ');
    };
    for (auto const& found : findings) {
        std::cout << "  " << padded(to_string(found.how), 9) << padded(found.what, 13) << found.detail << '\n';
        if (!found.remedy.empty())
            std::cout << std::string(24, ' ') << "-> " << found.remedy << '\n';
    }
    std::cout << (healthy ? "healthy\n" : "needs attention\n");
}

} // namespace

int run_command(doctor_options const& options, bool json) {
    auto who = find_patient(options);
    // Patient where serving is not: slowness is a finding, not a failure.
    redis_session session(who.where, milliseconds{2000});
    std::vector<finding> findings{{level::ok, "connection", "reachable, credentials accepted", {}}};
    if (who.where.topology == redis::topology::sentinel)
        if (auto const master = session.client().address_source()())
            findings.push_back(
                {level::ok,
                 "sentinel",
                 master->display() + " is the master of " + who.where.master_name + ", as the sentinels and it say",
                 {}});
    ask_info(session, findings);
    ask_clock(session, findings);
    ask_latency(session, who.timeout, findings);
    try_decision(session, who, findings);
    auto healthy =
        std::all_of(findings.begin(), findings.end(), [](finding const& found) { return found.how <= level::note; });
    print(who, findings, healthy, json);
    return healthy ? exit_yes : exit_no;
}

} // namespace weir::cli
