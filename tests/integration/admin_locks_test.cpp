#include "support/admin_request.hpp"
#include "support/gate.hpp"
#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <optional>
#include <set>

// /v1/locks of a real program.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class admin_locks : public testing::Test {
protected:
    void SetUp() override {
        json const settings{
            {"listen", {{{"address", "127.0.0.1:0"}}}},
            {"admin", {{"address", "127.0.0.1:0"}, {"token", admin_token}}},
            {"access_log", directory_.path() + "/access.log"},
            {"workers", 1},
            {"redis", {{"url", redis_.url()}}},
            {"locks", {{"session", {{"key", "header:x-session-id"}, {"on_busy", "wait"}, {"wait", "1h"}}}}},
            {"upstreams", {{"u", {{"targets", {"http://127.0.0.1:" + std::to_string(up_.port())}}}}}},
            {"routes", {{{"name", "all"}, {"path", "/*"}, {"upstream", "u"}, {"lock", "session"}}}}};
        std::ofstream(directory_.path() + "/weir.json") << settings.dump();
        weir_.emplace(std::vector<std::string>{"serve", "--config", directory_.path() + "/weir.json"});
        proxy_ = weir_->wait_for_error_line("listening on ");
        admin_ = weir_->wait_for_error_line("metrics and health at ");
    }
    void TearDown() override { gate_.open(); }

    static http_client connect(std::string const& address) { return http_client(endpoint_in(address)); }
    static std::string request(std::string const& session) {
        return "GET / HTTP/1.1\r\nHost: weir.test\r\nX-Request-Id: of-" + session.substr(0, 1) +
               "\r\nX-Session-Id: " + session + "\r\n\r\n";
    }
    http_response ask(std::string const& target, std::string const& method = "GET",
                      std::string const& body = {}) const {
        return connect(admin_).exchange(admin_request(target, method, body));
    }
    json told(std::string const& target) const {
        auto const answer = ask(target);
        EXPECT_EQ(answer.status, 200) << answer.body;
        return json::parse(answer.body);
    }

    temporary_directory directory_;
    redis_server redis_;
    gate gate_;
    upstream up_{[this](upstream::connection& c) {
        for (;;) {
            c.read();
            gate_.pass();
            c.respond("");
        }
    }};
    std::optional<program> weir_;
    std::string proxy_, admin_;
};

TEST_F(admin_locks, who_holds_and_who_waits_is_told) {
    EXPECT_EQ(told("/v1/locks")["locks"], json::array());
    auto holding = connect(proxy_), waiting = connect(proxy_), other = connect(proxy_);
    holding.send(request("a b"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    waiting.send(request("a b"));
    until([&] { return redis_.integer({"ZCARD", "lock:session/a%20b#queue"}) == 1; });
    other.send(request("c"));
    ASSERT_TRUE(gate_.wait_for_arrivals(2));

    auto const all = told("/v1/locks")["locks"];
    ASSERT_EQ(all.size(), 2u) << all;
    EXPECT_EQ(all[0]["name"], "session/a b");
    EXPECT_THAT(all[0]["holder"].get<std::string>(), HasSubstr(" of-a"));
    EXPECT_GT(all[0]["fence"].get<std::uint64_t>(), 0u);
    EXPECT_GT(all[0]["expires_in_ms"].get<int>(), 0);
    EXPECT_EQ(all[0]["waiting"], 1);
    EXPECT_EQ(all[0]["waiters"].size(), 1u);
    EXPECT_EQ(all[1]["name"], "session/c");
    EXPECT_EQ(all[1]["waiting"], 0);

    for (auto const* name : {"session/a%20b", "session%2Fa%20b"})
        EXPECT_EQ(told(std::string("/v1/locks/") + name)["fence"], all[0]["fence"]);
    auto const nobodys = told("/v1/locks/nobodys");
    EXPECT_EQ(nobodys["holders"], json::array());
    EXPECT_FALSE(nobodys.contains("holder"));
}

TEST_F(admin_locks, taking_one_away_tells_its_holder_who_did_it_and_why_and_lets_the_next_have_it) {
    auto holding = connect(proxy_), waiting = connect(proxy_);
    holding.send(request("a"));
    ASSERT_TRUE(gate_.wait_for_arrivals(1));
    waiting.send(request("a"));
    until([&] { return redis_.integer({"ZCARD", "lock:session/a#queue"}) == 1; });
    auto const before = told("/v1/locks/session/a")["fence"].get<std::uint64_t>();
    auto const done = ask("/v1/locks/session/a/break", "POST", R"({"reason":"it hangs","who":"alice"})");
    EXPECT_EQ(done.status, 200) << done.body;
    EXPECT_EQ(json::parse(done.body)["broken"], 1);
    EXPECT_EQ(holding.read().status, 503);
    ASSERT_TRUE(gate_.wait_for_arrivals(2));
    EXPECT_GT(told("/v1/locks/session/a")["fence"].get<std::uint64_t>(), before);
    weir_->wait_for_error_line("lock session/a was taken from 1 holders by alice: it hangs");
    gate_.open();
    EXPECT_EQ(waiting.read().status, 200);
    until([&] { return redis_.integer({"EXISTS", "lock:session/a"}) == 0; });
    EXPECT_EQ(json::parse(ask("/v1/locks/session/a/break", "POST").body)["broken"], 0);
}

TEST_F(admin_locks, what_is_wrong_is_refused) {
    EXPECT_EQ(ask("/v1/locks", "POST").status, 405);
    EXPECT_EQ(ask("/v1/locks/session/a", "POST").status, 404);
    EXPECT_EQ(ask("/v1/locks/break", "POST").status, 404) << "of which?";
    EXPECT_EQ(ask("/v1/locks?limit=many").status, 400);
    EXPECT_EQ(ask("/v1/locks?cursor=x").status, 400);
    EXPECT_THAT(ask("/v1/locks/a/break", "POST", "x").body, HasSubstr("the body must be an object"));
    EXPECT_THAT(ask("/v1/locks/a/break", "POST", R"({"reson":"x"})").body, HasSubstr("did you mean"));
    EXPECT_THAT(ask("/v1/locks/a/break", "POST", R"({"reason":1})").body, HasSubstr("must be a string"));
    redis_.kill();
    EXPECT_EQ(ask("/v1/locks").status, 503);
}

TEST_F(admin_locks, a_look_has_its_bound_and_goes_on_where_it_ended) {
    for (int i = 0; i < 30; ++i)
        redis_.run(
            {"EVAL",
             "local t = redis.call('TIME'); for i = 1, 1000 do redis.call('SET', 'other:' .. ARGV[1] .. i, 1) end "
             "redis.call('ZADD', 'lock:l' .. ARGV[1], t[1] * 1000000 + 60000000, "
             "string.rep('0', 32) .. ' 1 7 60000 me') return 1",
             "0", std::to_string(i)});
    std::set<std::string> names;
    std::string cursor = "0";
    int looks = 0;
    do {
        auto const said = told("/v1/locks?limit=1000&cursor=" + cursor);
        for (auto const& each : said["locks"])
            names.insert(each["name"]);
        cursor = said.value("cursor", "");
        ++looks;
    } while (!cursor.empty());
    EXPECT_EQ(names.size(), 30u);
    EXPECT_GE(looks, 2);
}

TEST_F(admin_locks, the_access_log_tells_of_the_lock) {
    gate_.open();
    EXPECT_EQ(connect(proxy_).exchange(request("a")).status, 200);
    auto const path = directory_.path() + "/access.log";
    std::string line;
    until([&] { return static_cast<bool>(std::getline(std::ifstream(path), line)); });
    auto const logged = json::parse(line);
    EXPECT_EQ(logged["lock"], "session");
    EXPECT_GT(logged["fence"].get<std::uint64_t>(), 0u);
    EXPECT_GE(logged["lock_wait"].get<double>(), 0);
}

} // namespace
} // namespace weir::test
