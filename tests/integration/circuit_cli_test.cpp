#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

// `weir circuit`.

namespace weir::test {
namespace {

using ::testing::HasSubstr;

class circuit_cli : public ::testing::Test {
protected:
    program_result run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), "circuit");
        arguments.insert(arguments.end(), {"--redis", server.url()});
        return run_program(arguments);
    }

    redis_server server;
};

TEST_F(circuit_cli, what_redis_knows_nothing_of_is_closed) {
    auto const shown = run({"show", "api"});
    EXPECT_EQ(shown.code, 0) << shown.err;
    EXPECT_EQ(shown.out, "api: closed (Redis knows nothing of it)\n");
    auto const listed = run({"list", "--json"});
    EXPECT_EQ(nlohmann::json::parse(listed.out), nlohmann::json::array());
}

TEST_F(circuit_cli, one_is_opened_by_hand_shown_with_who_and_why_and_given_back) {
    auto const opened = run({"open", "api", "--for", "10m", "--why", "the upstream burns", "--who", "ada"});
    EXPECT_EQ(opened.code, 0) << opened.err;
    EXPECT_EQ(opened.out, "api: forced_open\n");
    EXPECT_EQ(server.run({"HGET", "circuit:api", "state"}), "forced_open");
    auto const shown = run({"show", "api"});
    EXPECT_THAT(shown.out, HasSubstr("api: forced_open for "));
    EXPECT_THAT(shown.out, HasSubstr("set by ada: the upstream burns"));
    EXPECT_THAT(shown.out, HasSubstr("closed -> forced_open, by_hand (ada: the upstream burns)"));
    auto const listed = nlohmann::json::parse(run({"list", "--json"}).out);
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0]["name"], "api");
    EXPECT_EQ(listed[0]["who"], "ada");
    EXPECT_GT(listed[0]["remaining_ms"], 500'000);
    EXPECT_EQ(run({"auto", "api"}).out, "api: half_open\n") << "tried by probes first";
    EXPECT_EQ(run({"auto", "api"}).out, "api: half_open, as it was\n");
    EXPECT_EQ(run({"close", "api"}).out, "api: closed\n");
    EXPECT_EQ(run({"disable", "api", "--why", "load test"}).out, "api: disabled\n");
    auto const history = nlohmann::json::parse(run({"show", "api", "--json"}).out)["history"];
    ASSERT_EQ(history.size(), 4u);
    EXPECT_EQ(history[0]["to"], "disabled");
    EXPECT_EQ(history[3]["note"], "the upstream burns");
}

TEST_F(circuit_cli, why_it_tripped_is_shown) {
    server.run(
        {"HSET", "circuit:api", "state", "open", "epoch", "7", "tripped",
         R"({"at":"1700000000000000","reason":"failure_rate","calls":12,"failures":9,"slow":1,"voters":3,"votes":2,)"
         R"("by":["a"],"errors":["connection refused"]})"});
    auto const shown = run({"show", "api"});
    EXPECT_THAT(shown.out, HasSubstr("failure_rate, 9 failures and 1 slow of 12 calls, seen by 2 of 3 instances"));
    EXPECT_THAT(shown.out, HasSubstr("connection refused"));
}

TEST_F(circuit_cli, bad_input_is_named) {
    auto const bad = run({"open", "api", "--for", "soon"});
    EXPECT_EQ(bad.code, 2);
    EXPECT_THAT(bad.err, HasSubstr("--for: "));
    EXPECT_EQ(run({"open"}).code, 2);
    server.run({"SET", "circuit:api", "a stranger's"});
    EXPECT_EQ(run({"show", "api"}).code, 2);
}

} // namespace
} // namespace weir::test
