#include "support/admin_request.hpp"
#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_cluster.hpp"

#include <weir/redis/hash_slot.hpp>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <set>

// The program on a Redis Cluster.

namespace weir::test {
namespace {

TEST(cli_cluster, serve_check_and_doctor_share_one_count_over_its_nodes) {
    redis_cluster all({.node_timeout = std::chrono::seconds{2}});
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    std::ofstream(file)
        << R"({"listen": [{"address": "127.0.0.1:0"}], "admin": {"address": "127.0.0.1:0"}, "workers": 2,
        "access_log": "off", "redis": {"url": "redis://127.0.0.1:)"
        << free_port() << R"(", "mode": "cluster", "timeout": "5s", "nodes": ["127.0.0.1:)" << all.node(1).port()
        << R"("]},
        "limits": {"mine": {"per": ["ip"], "limit": 3, "window": "1h"},
                   "all": {"per": ["*"], "limit": 5, "window": "1h"}},
        "upstreams": {"up": {"targets": ["http://127.0.0.1:1"]}},
        "routes": [{"name": "r", "path": "/*", "upstream": "up", "limits": ["mine", "all"]}]})";
    program weir({"serve", "--config", file});
    auto const at = endpoint_in(weir.wait_for_error_line("listening on 127.0.0.1:"));
    EXPECT_EQ(http_client(at).get("/").status, 502) << "there is no upstream, but the limits admit";

    auto const url = all.url(2) + "?mode=cluster";
    auto const checked = run_program({"check", "--user", "127.0.0.1", "--endpoint", "r", "--limit", "mine=3/1h",
                                      "--redis", url, "--timeout", "10s"});
    EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
    EXPECT_EQ(http_client(at).get("/").status, 502);
    EXPECT_EQ(http_client(at).get("/").status, 429) << "two here and one by the command line";
    auto const doctor = run_program({"doctor", "--redis", url, "--timeout", "10s"});
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
    auto const alone =
        run_program({"check", "--user", "u", "--endpoint", "e", "--limit", "3/1h", "--redis", all.url()});
    EXPECT_EQ(alone.code, 2) << "a key of another node is not there";
    EXPECT_THAT(alone.err, testing::HasSubstr("mode=cluster"));
}

/// A lock that is held for a minute, and somebody who waits for it, on whichever node owns it.
void hold(redis_cluster& all, std::string const& name, std::string const& who) {
    auto const key = "lock:{" + name + "}";
    all.node(all.owner(redis::hash_slot(key)))
        .run({"EVAL",
              "local t = redis.call('TIME'); local now = t[1] * 1000000 + t[2]; "
              "redis.call('ZADD', KEYS[1], now + 60000000, string.rep('0', 32) .. ' 1 7 60000 ' .. ARGV[1]) "
              "return redis.call('ZADD', KEYS[1] .. '#queue', now, string.rep('1', 32) .. ' 1 1000 60000 next')",
              "1", key, who});
}

TEST(cli_cluster, locks_and_circuits_of_all_masters_are_listed) {
    redis_cluster all({.node_timeout = std::chrono::seconds{2}});
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    std::ofstream(file) << R"({"listen": [{"address": "127.0.0.1:0"}],
        "admin": {"address": "127.0.0.1:0", "token": ")"
                        << admin_token << R"("}, "workers": 1, "access_log": "off",
        "redis": {"url": ")"
                        << all.url() << R"(", "mode": "cluster", "timeout": "5s"},
        "locks": {"session": {"key": "header:x-session-id"}},
        "upstreams": {"up": {"targets": ["http://127.0.0.1:1"]}},
        "routes": [{"name": "r", "path": "/*", "upstream": "up", "lock": "session"}]})";
    program weir({"serve", "--config", file});
    auto const admin = endpoint_in(weir.wait_for_error_line("metrics and health at "));
    auto const told = [&](std::string const& target) {
        auto const answer = http_client(admin).exchange(admin_request(target));
        EXPECT_EQ(answer.status, 200) << answer.body;
        return nlohmann::json::parse(answer.body);
    };
    EXPECT_EQ(told("/v1/locks").dump(), R"({"locks":[]})");

    std::set<std::string> made;
    std::set<std::size_t> owners;
    for (int i = 0; i < 12 || owners.size() < all.masters(); ++i) {
        auto const name = "job/" + std::to_string(i);
        hold(all, name, "holder-" + std::to_string(i));
        made.insert(name);
        owners.insert(all.owner(redis::hash_slot("lock:{" + name + "}")));
    }
    auto const whole = told("/v1/locks?limit=1000");
    EXPECT_FALSE(whole.contains("cursor"));
    std::set<std::string> listed;
    for (auto const& each : whole["locks"]) {
        listed.insert(each["name"]);
        EXPECT_EQ(each["holder"].get<std::string>().substr(7), each["name"].get<std::string>().substr(4));
        EXPECT_EQ(each["fence"], 7);
        EXPECT_GT(each["expires_in_ms"], 0);
        EXPECT_LE(each["expires_in_ms"], 60'000);
        EXPECT_EQ(each["waiting"], 1);
    }
    EXPECT_EQ(listed, made);
    std::string cursor = "0";
    std::size_t looks = 0;
    for (listed.clear(); !cursor.empty(); ++looks) {
        auto const said = told("/v1/locks?limit=1&cursor=" + cursor);
        for (auto const& each : said["locks"])
            listed.insert(each["name"]);
        cursor = said.value("cursor", "");
    }
    EXPECT_EQ(listed, made);
    EXPECT_EQ(looks, all.masters()) << "each of which has some";
    EXPECT_EQ(http_client(admin).exchange(admin_request("/v1/locks?cursor=17")).status, 400) << "of which master?";

    auto const url = all.url(1) + "?mode=cluster";
    auto const by_hand = run_program({"lock", "list", "--json", "--redis", url});
    EXPECT_EQ(by_hand.code, 0) << by_hand.err;
    listed.clear();
    for (auto const& each : nlohmann::json::parse(by_hand.out)) {
        listed.insert(each["name"]);
        EXPECT_EQ(each["holders"].size(), 1u) << each;
        EXPECT_EQ(each["waiters"].size(), 1u) << each;
    }
    EXPECT_EQ(listed, made);

    for (auto const* name : {"pay", "mail", "search", "images"})
        EXPECT_EQ(run_program({"circuit", "open", name, "--redis", url}).code, 0);
    auto const circuits = run_program({"circuit", "list", "--json", "--redis", url});
    std::set<std::string> open;
    for (auto const& each : nlohmann::json::parse(circuits.out))
        open.insert(each["name"]);
    EXPECT_EQ(open, (std::set<std::string>{"images", "mail", "pay", "search"})) << circuits.err;
}

} // namespace
} // namespace weir::test
