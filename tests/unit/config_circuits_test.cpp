#include "config/load.hpp"
#include "config/show.hpp"

#include "support/config_complaints.hpp"

#include <gmock/gmock.h>

// Circuits in the configuration.

namespace {

using namespace weir::config;
using testing::ElementsAre;
using testing::HasSubstr;
using weir::test::complaints;

/// A document with that circuit "c", which its upstream has.
std::string with_circuit(std::string const& fields) {
    return R"({"listen":[{"address":"127.0.0.1:0"}],"circuits":{"c":{)" + fields +
           R"(}},"upstreams":{"u":{"targets":["http://a"],"circuit":"c"}},
              "routes":[{"name":"r","path":"/*","upstream":"u"}]})";
}

TEST(config_circuits, every_field_is_read_and_shown_again) {
    auto const text = with_circuit(
        R"("window":"20s","minimum_calls":30,"failure_rate":0.25,"slow_call":"2s","slow_rate":0.8,
           "consecutive_failures":7,"open_for":"3s","open_backoff":1.5,"open_max":"1m","jitter":0.2,"healthy_for":"30s",
           "half_open_calls":4,"half_open_for":"20s","probe_timeout":"5s","ramp":[1,10,50],"ramp_step":"2s",
           "trip_quorum":2)");
    auto const loaded = load_text(text);
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    ASSERT_EQ(loaded.value->upstreams.at(0).circuit, 0u);
    auto const& how = loaded.value->circuits.at(0).how;
    EXPECT_EQ(how.window_time, std::chrono::seconds{20});
    EXPECT_EQ(how.minimum_calls, 30u);
    EXPECT_EQ(how.failure_rate, 0.25);
    EXPECT_EQ(how.slow_call, std::chrono::seconds{2});
    EXPECT_EQ(how.slow_rate, 0.8);
    EXPECT_EQ(how.consecutive_failures, 7u);
    EXPECT_EQ(how.open_for, std::chrono::seconds{3});
    EXPECT_EQ(how.open_backoff, 1.5);
    EXPECT_EQ(how.open_max, std::chrono::minutes{1});
    EXPECT_EQ(how.jitter, 0.2);
    EXPECT_EQ(how.healthy_for, std::chrono::seconds{30});
    EXPECT_EQ(how.half_open_calls, 4u);
    EXPECT_EQ(how.half_open_for, std::chrono::seconds{20});
    EXPECT_EQ(how.probe_timeout, std::chrono::seconds{5});
    EXPECT_THAT(how.ramp, ElementsAre(1, 10, 50));
    EXPECT_EQ(how.ramp_step, std::chrono::seconds{2});
    EXPECT_EQ(how.trip_quorum, 2u);
    auto const shown = show(*loaded.value);
    auto const again = load_text(shown.dump());
    ASSERT_TRUE(again.value) << to_string(again.issues.at(0), "shown");
    EXPECT_EQ(again.value->circuits.at(0).how, how);
    EXPECT_EQ(show(*again.value), shown);
}

TEST(config_circuits, a_number_is_a_window_of_calls) {
    auto const loaded = load_text(with_circuit(R"("window":50)"));
    ASSERT_TRUE(loaded.value);
    EXPECT_EQ(loaded.value->circuits.at(0).how.window, weir::circuit::window_kind::count);
    EXPECT_EQ(loaded.value->circuits.at(0).how.window_calls, 50u);
}

TEST(config_circuits, a_long_opening_needs_no_longer_cap) {
    auto const loaded = load_text(with_circuit(R"("open_for":"10m")"));
    ASSERT_TRUE(loaded.value);
    EXPECT_EQ(loaded.value->circuits.at(0).how.open_max, std::chrono::minutes{10});
}

TEST(config_circuits, what_is_out_of_range_is_named) {
    EXPECT_THAT(complaints(with_circuit(R"("failure_rate":0)")),
                ElementsAre("/circuits/c/failure_rate: must be a number from 1e-06 to 1"));
    EXPECT_THAT(complaints(with_circuit(R"("failure_rate":"half")")),
                ElementsAre("/circuits/c/failure_rate: must be a number from 1e-06 to 1, not a string"));
    EXPECT_THAT(complaints(with_circuit(R"("window":"1ms")")), ElementsAre(HasSubstr("/circuits/c/window: must be")));
    EXPECT_THAT(complaints(with_circuit(R"("window":true)")),
                ElementsAre(HasSubstr("/circuits/c/window: must be a duration, or a whole number of calls")));
    EXPECT_THAT(complaints(with_circuit(R"("ramp":[10,5])")),
                ElementsAre("/circuits/c/ramp/1: must be larger than the share before it"));
    EXPECT_THAT(complaints(with_circuit(R"("half_open_calls":0)")),
                ElementsAre(HasSubstr("/circuits/c/half_open_calls: must be a whole number from 1 to 1000")));
}

TEST(config_circuits, what_contradicts_itself_is_an_error) {
    EXPECT_THAT(complaints(with_circuit(R"("slow_rate":0.5)")),
                ElementsAre(HasSubstr("/circuits/c/slow_rate: says nothing without \"slow_call\"")));
    EXPECT_THAT(complaints(with_circuit(R"("ramp_step":"1s")")),
                ElementsAre(HasSubstr("/circuits/c/ramp_step: says nothing without \"ramp\"")));
    EXPECT_THAT(complaints(with_circuit(R"("window":10,"minimum_calls":11)")),
                ElementsAre(HasSubstr("/circuits/c/minimum_calls: more than the window of 10 calls")));
    EXPECT_THAT(complaints(with_circuit(R"("open_for":"5s","open_max":"1s")")),
                ElementsAre("/circuits/c/open_max: less than open_for (5s)"));
}

TEST(config_circuits, a_misspelt_field_or_name_is_told_with_the_nearest) {
    EXPECT_THAT(complaints(with_circuit(R"("failure_rat":0.5)")),
                ElementsAre("/circuits/c/failure_rat: unknown field; did you mean \"failure_rate\"?"));
    EXPECT_THAT(complaints(R"({"listen":[{"address":"127.0.0.1:0"}],"circuits":{"payments":{}},
                              "upstreams":{"u":{"targets":["http://a"],"circuit":"payment"}},
                              "routes":[{"name":"r","path":"/*","upstream":"u"}]})"),
                ElementsAre("/upstreams/u/circuit: no circuit is called \"payment\"; did you mean \"payments\"?"));
}

TEST(config_circuits, one_that_no_upstream_has_is_warned_of) {
    auto const loaded = load_text(R"({"listen":[{"address":"127.0.0.1:0"}],"circuits":{"c":{}},
        "upstreams":{"u":{"targets":["http://a"]}},"routes":[{"name":"r","path":"/*","upstream":"u"}]})");
    ASSERT_TRUE(loaded.value);
    ASSERT_EQ(loaded.issues.size(), 1u);
    EXPECT_EQ(loaded.issues[0].pointer, "/circuits/c");
    EXPECT_EQ(loaded.issues[0].level, issue::severity::warning);
    EXPECT_FALSE(loaded.value->needs_redis());
}

TEST(config_circuits, those_of_no_upstream_are_for_programs_that_ask_the_decision_service) {
    auto const alone = R"({"decision":{},"circuits":{"c":{"minimum_calls":7}}})";
    auto const loaded = load_text(alone);
    EXPECT_THAT(complaints(alone), ElementsAre());
    ASSERT_TRUE(loaded.value);
    EXPECT_TRUE(loaded.value->needs_redis());
    EXPECT_EQ(show(*loaded.value)["circuits"]["c"]["minimum_calls"], 7);
    EXPECT_THAT(
        complaints(R"({"listen":[{"address":"127.0.0.1:0"}],"circuits":{"c":{}},
                              "upstreams":{"u":{"targets":["http://a"]}},
                              "routes":[{"name":"r","path":"/*","upstream":"u"}]})"),
        ElementsAre("/circuits/c: no upstream has this circuit, and without \"decision\" no program can ask for "
                    "it: it protects nothing here"));
}

} // namespace
