#include "support/decision_service.hpp"
#include "support/redis_server.hpp"
#include "support/until.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

// Locks through the decision service, with a real Redis.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using namespace std::chrono_literals;

class decision_lock : public testing::Test {
protected:
    config::config settings() const {
        auto c = service_config({hourly("per-user", 5)});
        c.redis.timeout = 5s;
        return c;
    }
    proxy::server_options options() const { return options_for(redis_); }

    static std::string order(json const& body, std::string const& name = "job") {
        return post(body.dump(), "Content-Type: application/json\r\n", "/v1/locks/" + name);
    }
    static json ask(running_proxy const& service, json const& body, std::string const& name = "job") {
        auto const answer = connect_to_decisions(service).exchange(order(body, name));
        EXPECT_EQ(answer.status, 200) << answer.body;
        return json::parse(answer.body);
    }

    redis_server redis_;
};

TEST_F(decision_lock, is_taken_once_and_renewed_and_given_back_at_any_instance_by_its_lease) {
    running_proxy const one(settings(), options());
    running_proxy const other(settings(), options());
    auto const first = ask(one, {{"action", "acquire"}, {"ttl_ms", 60'000}, {"who", "a test"}});
    EXPECT_EQ(first["held"], true);
    EXPECT_EQ(first["ttl_ms"], 60'000);
    EXPECT_EQ(ask(other, {{"action", "acquire"}})["held"], false);
    EXPECT_THAT(redis_.run({"ZRANGE", "lock:job", "0", "-1"}), HasSubstr(" a test"));
    redis_.run({"PEXPIRE", "lock:job", "30000"});
    EXPECT_EQ(ask(other, {{"action", "extend"}, {"lease", first["lease"]}})["held"], true);
    EXPECT_GT(redis_.integer({"PTTL", "lock:job"}), 50'000);
    EXPECT_EQ(ask(other, {{"action", "release"}, {"lease", first["lease"]}})["released"], true);
    EXPECT_EQ(ask(one, {{"action", "release"}, {"lease", first["lease"]}})["released"], false);
    EXPECT_EQ(ask(one, {{"action", "extend"}, {"lease", first["lease"]}})["held"], false);
    auto const second = ask(other, {{"action", "acquire"}});
    EXPECT_EQ(second["held"], true);
    EXPECT_GT(second["fence"].get<std::uint64_t>(), first["fence"].get<std::uint64_t>());
    EXPECT_EQ(ask(one, {{"action", "release"}, {"lease", first["lease"]}})["released"], false);
    EXPECT_EQ(ask(one, {{"action", "acquire"}})["held"], false) << "a former holder frees nobody's";
}

TEST_F(decision_lock, is_free_when_its_time_is_over) {
    running_proxy const service(settings(), options());
    EXPECT_EQ(ask(service, {{"action", "acquire"}, {"ttl_ms", 100}})["held"], true);
    EXPECT_EQ(ask(service, {{"action", "acquire"}, {"wait_ms", 20'000}})["held"], true);
}

TEST_F(decision_lock, who_waits_gets_it_when_it_is_given_back_and_waiting_has_its_bound) {
    running_proxy const one(settings(), options());
    running_proxy const other(settings(), options());
    auto const first = ask(one, {{"action", "acquire"}});
    EXPECT_EQ(ask(one, {{"action", "acquire"}, {"wait_ms", 50}})["held"], false);
    auto waiting = connect_to_decisions(other);
    waiting.send(order({{"action", "acquire"}, {"wait_ms", 60'000}}));
    until([&] { return redis_.integer({"ZCARD", "lock:job#queue"}) == 1; });
    ask(one, {{"action", "release"}, {"lease", first["lease"]}});
    EXPECT_EQ(json::parse(waiting.read().body)["held"], true);
}

TEST_F(decision_lock, who_leaves_while_he_waits_is_forgotten) {
    running_proxy const service(settings(), options());
    ask(service, {{"action", "acquire"}});
    {
        auto leaving = connect_to_decisions(service);
        leaving.send(order({{"action", "acquire"}, {"wait_ms", 60'000}}));
        until([&] { return redis_.integer({"ZCARD", "lock:job#queue"}) == 1; });
    }
    until([&] { return redis_.integer({"ZCARD", "lock:job#queue"}) == 0; });
}

TEST_F(decision_lock, a_service_that_is_stopped_waits_for_nobody) {
    auto const begun = std::chrono::steady_clock::now();
    {
        running_proxy const service(settings(), options());
        ask(service, {{"action", "acquire"}});
        auto waiting = connect_to_decisions(service);
        waiting.send(order({{"action", "acquire"}, {"wait_ms", 60'000}}));
        until([&] { return redis_.integer({"ZCARD", "lock:job#queue"}) == 1; });
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 20s);
    EXPECT_EQ(redis_.integer({"ZCARD", "lock:job#queue"}), 0);
}

TEST_F(decision_lock, a_name_may_have_slashes_and_what_is_percent_encoded) {
    running_proxy const service(settings(), options());
    EXPECT_EQ(ask(service, {{"action", "acquire"}}, "a/b")["name"], "a/b");
    EXPECT_EQ(ask(service, {{"action", "acquire"}}, "a%2Fb")["held"], false) << "the same";
    EXPECT_EQ(ask(service, {{"action", "acquire"}}, "a%20b")["name"], "a b");
    EXPECT_EQ(ask(service, {{"action", "acquire"}, {"who", "Žofie"}}, "%C5%BD")["name"], "Ž");
    for (auto const* name : {"", "%zz", "%00", "%0a"})
        EXPECT_GE(connect_to_decisions(service).exchange(order({{"action", "acquire"}}, name)).status, 400u) << name;
}

TEST_F(decision_lock, what_is_wrong_with_a_body_is_named) {
    running_proxy const service(settings(), options());
    auto const complaint = [&](json const& body) {
        auto const answer = connect_to_decisions(service).exchange(order(body));
        EXPECT_EQ(answer.status, 400) << body;
        return answer.body;
    };
    EXPECT_THAT(complaint(json::array()), HasSubstr("must be an object"));
    EXPECT_THAT(complaint(json::object()), HasSubstr(R"(the member \"action\" is missing)"));
    EXPECT_THAT(complaint({{"action", "take"}}), HasSubstr(R"("pointer":"/action")"));
    EXPECT_THAT(complaint({{"action", "acquire"}, {"ttl_ms", 1}}),
                HasSubstr("/ttl_ms: must be a whole number from 10"));
    EXPECT_THAT(complaint({{"action", "acquire"}, {"ttl_ms", 1.5}}), HasSubstr("/ttl_ms: "));
    EXPECT_THAT(complaint({{"action", "acquire"}, {"wait_ms", -1}}), HasSubstr("/wait_ms: "));
    EXPECT_THAT(complaint({{"action", "acquire"}, {"wait_ms", ~std::uint64_t{0}}}), HasSubstr("/wait_ms: "));
    EXPECT_THAT(complaint({{"action", "acquire"}, {"who", std::string(121, 'w')}}), HasSubstr("/who: "));
    EXPECT_THAT(complaint({{"action", "acquire"}, {"lease", "x"}}), HasSubstr("/lease: unknown member"));
    EXPECT_THAT(complaint({{"action", "release"}}), HasSubstr(R"(the member \"lease\" is missing)"));
    EXPECT_THAT(complaint({{"action", "extend"}, {"lease", "x"}}), HasSubstr("/lease: must be the text that came"));
    EXPECT_EQ(redis_.integer({"EXISTS", "lock:job"}), 0);
}

TEST_F(decision_lock, without_redis_the_answer_is_503) {
    auto c = settings();
    c.redis.timeout = 200ms;
    running_proxy const service(c, options());
    redis_.kill();
    auto const refused = connect_to_decisions(service).exchange(order({{"action", "acquire"}}));
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.field("Retry-After"), "1");
}

} // namespace
} // namespace weir::test
