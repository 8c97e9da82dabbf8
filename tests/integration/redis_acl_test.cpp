#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_cluster.hpp"
#include "support/redis_fixture.hpp"
#include "support/redis_sentinels.hpp"

#include <gmock/gmock.h>
#include <weir/redis/hash_slot.hpp>
#include <weir/redis/subscriber.hpp>

#include <fstream>

// A user with exactly the rights that docs/commands.md tells to give.

namespace weir::test {
namespace {

using redis::client;
using redis::command;

/// The rules behind a heading of the list in docs/commands.md, up to the next.
std::string rights(std::string const& heading) {
    std::ifstream file(source_path("docs/commands.md"));
    std::string rules;
    bool found = false;
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("    ", 0) != 0) {
            found = false;
            continue;
        }
        if (line.find(':') < line.find('+')) // another heading, or ours
            found = line.find(' ' + heading + ": ") != std::string::npos;
        if (found)
            rules += ' ' + line.substr(line.find_first_of("~&+"));
    }
    EXPECT_NE(rules, "") << heading;
    return rules;
}

void give(redis_server& to, std::string const& rules) {
    std::istringstream words("reset on >pass" + rules);
    for (std::string word; words >> word;)
        ASSERT_EQ(to.run({"ACL", "SETUSER", "narrow", word}), "OK") << word;
}

TEST(redis_acl, the_rights_told_for_every_server_suffice) {
    redis_server server({.tcp = true, .password = {}, .arguments = {}});
    give(server, rights("every server"));
    auto const doctor = run_program(
        {"doctor", "--redis", "redis://narrow:pass@127.0.0.1:" + std::to_string(server.port()), "--timeout", "10s"});
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
}

TEST(redis_acl, the_rights_told_for_a_cluster_suffice_while_a_slot_moves) {
    redis_cluster all({.node_timeout = std::chrono::seconds{2}});
    for (std::size_t i = 0; i < all.size(); ++i)
        give(all.node(i), rights("every server") + rights("nodes of a cluster"));
    auto const url = "redis://narrow:pass@" + all.url().substr(8) + "?mode=cluster";
    auto const doctor = run_program({"doctor", "--redis", url, "--timeout", "10s"});
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
    std::string const key = "rate:{acl}";
    auto const slot = redis::hash_slot(key);
    asio::io_context io;
    client redis(io, patient_options(url));
    run(io, [&]() -> asio::awaitable<void> {
        command set, get;
        set.start(3).arg("SET").key(key).arg("value");
        get.start(2).arg("GET").key(key);
        EXPECT_FALSE(std::get<0>(co_await ask(redis, set)));
        auto const from = all.owner(slot), to = (from + 1) % all.masters();
        all.begin_move(slot, to);
        all.move_keys(slot, to);
        auto const [asked, value] = co_await ask(redis, get); // ASK
        EXPECT_EQ(value, "value") << asked.message();
        all.end_move(slot, to);
        auto const [moved, same] = co_await ask(redis, get); // MOVED
        EXPECT_EQ(same, "value") << moved.message();
    });
}

TEST(redis_acl, the_rights_told_for_sentinels_suffice_through_a_failover) {
    redis_sentinels group;
    for (std::size_t i = 0; i < 2; ++i)
        give(group.server(i), rights("every server") + rights("behind sentinels"));
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_EQ(group.say(i, ("ACL SETUSER narrow reset on >pass" + rights("the sentinels")).c_str()), "OK");
    auto const url = "redis://narrow:pass@" + group.url().substr(8) + "&sentinel_user=narrow&sentinel_password=pass";
    auto const doctor = run_program({"doctor", "--redis", url, "--timeout", "10s"});
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
    asio::io_context io;
    client redis(io, patient_options(url));
    auto const where = redis.address_source();
    run(io, [&]() -> asio::awaitable<void> {
        EXPECT_FALSE(std::get<0>(co_await redis.async_connect(use_result))) << redis.last_error_text();
        auto const listens = [&] {
            for (std::size_t i = 0; i < 3; ++i)
                if (group.say(i, "CLIENT LIST TYPE pubsub").find("user=narrow") != std::string::npos)
                    return true;
            return false;
        };
        while (!listens())
            co_await asio::post(io, use_result);
        group.say(0, "SENTINEL FAILOVER group");
        while (!where() || where()->port != group.server(1).port())
            co_await asio::post(io, use_result);
        EXPECT_FALSE(std::get<0>(co_await ask(redis, command("SET", "rate:x", "y"))));
    });
}

} // namespace
} // namespace weir::test
