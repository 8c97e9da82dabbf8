#include "config/load.hpp"
#include "config/show.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

// What a limit of the configuration may say, and what contradicts itself.

namespace {

using namespace weir::config;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A valid file whose one limit, `a`, is this; a route uses it.
std::string with_limit(std::string_view limit) {
    return R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},"limits":{"a":)" +
           std::string(limit) + R"(},"routes":[{"name":"r","path":"/*","upstream":"u","limits":["a"]}]})";
}

/// The complaints about that limit, without "/limits/a".
std::vector<std::string> about(std::string_view limit) {
    std::vector<std::string> lines;
    for (auto const& found : load_text(with_limit(limit)).issues) {
        EXPECT_THAT(found.pointer, testing::StartsWith("/limits/a"));
        auto const warning = found.level == issue::severity::warning ? "warning: " : "";
        lines.push_back(warning + found.pointer.substr(std::string("/limits/a").size()) + ": " + found.message);
    }
    return lines;
}

TEST(config_limits, all_that_a_limit_says_reaches_its_rule) {
    ::setenv("WEIR_TEST_FOE", "mallory", 1);
    auto result = load_text(with_limit(R"({"algorithm":"token_bucket","limit":100,"window":"1m","burst":300,
        "shadow":true,"penalty":{"after":20,"block":"5m"},"allow":["friend"],"deny":["${WEIR_TEST_FOE}","trudy"],
        "overrides":{"alice":500,"bob":{"limit":10,"window":"1s","burst":20},"carol":"${WEIR_TEST_UNSET:-7}"}})"));
    ASSERT_TRUE(result.value) << to_string(result.issues.at(0), "f");
    EXPECT_THAT(result.issues, IsEmpty());
    auto const& rule = result.value->limits[0].rule;
    EXPECT_EQ(rule.algorithm, weir::algorithm::token_bucket);
    EXPECT_EQ(rule.burst, 300U);
    EXPECT_TRUE(rule.shadow);
    EXPECT_EQ(rule.penalty.after, 20U);
    EXPECT_EQ(rule.penalty.block, std::chrono::minutes{5});
    EXPECT_THAT(rule.allow, ElementsAre("friend"));
    EXPECT_THAT(rule.deny, ElementsAre("mallory", "trudy"));
    EXPECT_EQ(terms_of(rule, "alice").limit, 500U);
    EXPECT_EQ(terms_of(rule, "alice").burst, 500U);
    EXPECT_EQ(terms_of(rule, "bob").burst, 20U);
    EXPECT_EQ(terms_of(rule, "bob").window, std::chrono::seconds{1});
    EXPECT_EQ(terms_of(rule, "carol").limit, 7U);
    EXPECT_EQ(terms_of(rule, "dave").burst, 300U);
}

TEST(config_limits, what_is_shown_loads_again_and_shows_the_same) {
    for (auto const* limit :
         {R"({"algorithm":"token_bucket","limit":100,"window":"1m","shadow":true,"penalty":{"after":2,"block":"5m"},
              "allow":["friend"],"deny":["foe"],"overrides":{"a/b":{"window":"1s"},"bob":{"limit":5,"burst":9}}})",
          R"({"algorithm":"token_bucket","limit":0,"window":"1m"})",
          R"({"algorithm":"concurrency","limit":3,"window":"30s","cost":2})",
          R"({"algorithm":"fixed_window","limit":3,"window":"1d"})", R"({"limit":3,"window":"1d"})"}) {
        auto original = load_text(with_limit(limit));
        ASSERT_TRUE(original.value) << to_string(original.issues.at(0), limit);
        auto const shown = show(*original.value);
        auto again = load_text(shown.dump());
        ASSERT_TRUE(again.value) << to_string(again.issues.at(0), shown.dump());
        EXPECT_EQ(show(*again.value), shown);
    }
    auto const shown = show(*load_text(with_limit(R"({"algorithm":"token_bucket","limit":7,"window":"1m"})")).value);
    EXPECT_EQ(shown["limits"]["a"]["burst"], 7) << "defaults are written out";
    EXPECT_EQ(shown["limits"]["a"]["shadow"], false);
}

TEST(config_limits, a_wrong_value_is_named_with_its_place) {
    EXPECT_THAT(about(R"({"limit":1,"window":"1s","algorithm":"token_buckt"})"),
                ElementsAre(R"(/algorithm: unknown value "token_buckt"; did you mean "token_bucket"?)"));
    EXPECT_THAT(about(R"({"limit":1,"window":"1s","brust":1})"),
                ElementsAre(R"(/brust: unknown field; did you mean "burst"?)"));
    EXPECT_THAT(
        about(R"({"limit":1,"window":"1s","algorithm":"token_bucket","burst":0,"shadow":"yes",
                          "penalty":{"afer":3},"allow":"bob","deny":["a","a",7,""],
                          "overrides":{"x":-1,"":5,"y":{},"z":{"limt":1},"w":[],"v":"many","u":{"window":"1 s"}}})"),
        ElementsAre(
            "/burst: must be a whole number from 1 to 140737488355327", "/shadow: must be true or false, not a string",
            R"(/penalty: the field "after" is missing)", R"(/penalty: the field "block" is missing)",
            R"(/penalty/afer: unknown field; did you mean "after"?)", "/allow: must be an array, not a string",
            "/deny/1: is there already", "/deny/2: must be a string, not a number",
            "/deny/3: no user has an empty name", "/overrides/x: must be a whole number from 0 to 140737488355327",
            "/overrides/: no user has an empty name", HasSubstr("/overrides/y: says nothing"),
            R"(/overrides/z/limt: unknown field; did you mean "limit"?)",
            HasSubstr("/overrides/w: must be a whole number"), HasSubstr("/overrides/v: must be a whole number"),
            HasSubstr("/overrides/u/window: \"1 s\" is not a duration")));
    EXPECT_THAT(about(R"({"limit":1,"window":"1s","penalty":{"after":0,"block":"367d"},"overrides":[]})"),
                ElementsAre("/penalty/after: must be a whole number from 1 to 1000000",
                            "/penalty/block: must be from 1ms to 366d",
                            HasSubstr("/overrides: must be an object of users")));
}

TEST(config_limits, terms_that_contradict_each_other_are_errors) {
    EXPECT_THAT(about(R"({"limit":5,"window":"1s","burst":9})"),
                ElementsAre("/burst: burst belongs to a token_bucket"));
    EXPECT_THAT(about(R"({"limit":5,"window":"1s","overrides":{"bob":{"burst":9},"eve":4}})"),
                ElementsAre("/overrides/bob: burst belongs to a token_bucket"));
    EXPECT_THAT(about(R"({"algorithm":"token_bucket","limit":1,"window":"366d","burst":2})"),
                ElementsAre("/burst: burst takes more than 366 days to flow in"));
    EXPECT_THAT(about(R"({"algorithm":"concurrency","limit":10001,"window":"1m"})"),
                ElementsAre(HasSubstr("/limit: limit is above 10000")));
    EXPECT_THAT(about(R"({"algorithm":"concurrency","limit":5,"window":"1m","overrides":{"b: c":10001}})"),
                ElementsAre(HasSubstr("/overrides/b: c: limit is above 10000")));
    EXPECT_THAT(about(R"({"algorithm":"concurrency","limit":5,"window":"999ms","overrides":{"x":{"window":"1ms"}}})"),
                ElementsAre(HasSubstr("/window: must be at least 1s for concurrency"),
                            HasSubstr("/overrides/x: window must be at least 1s")));
}

TEST(config_limits, a_cost_that_can_never_be_paid_is_an_error) {
    EXPECT_THAT(about(R"({"limit":5,"window":"1s","cost":6})"),
                ElementsAre(HasSubstr("/cost: costs more than the limit of 5")));
    EXPECT_THAT(about(R"({"algorithm":"concurrency","limit":5,"window":"1s","cost":6})"),
                ElementsAre(HasSubstr("/cost: costs more than the limit of 5")));
    EXPECT_THAT(about(R"({"algorithm":"token_bucket","limit":9,"window":"1s","burst":5,"cost":6})"),
                ElementsAre(HasSubstr("/cost: costs more than the burst of 5")));
    EXPECT_THAT(about(R"({"algorithm":"token_bucket","limit":5,"window":"1s","burst":9,"cost":6})"), IsEmpty());
    EXPECT_THAT(about(R"({"limit":9,"window":"1s","cost":6,"overrides":{"bob":5,"eve":0}})"),
                ElementsAre(HasSubstr("/overrides/bob: a request costs 6, more than this limit of 5")));
    EXPECT_THAT(about(R"({"limit":0,"window":"1s"})"), IsEmpty()) << "refuses everything, as it says";
}

TEST(config_limits, users_where_nobody_is_told_apart_are_an_error_and_lists_that_overlap_a_warning) {
    EXPECT_THAT(about(R"({"limit":5,"window":"1s","per":["*"],"overrides":{"bob":9},"allow":["a"],"deny":["b"]})"),
                ElementsAre(HasSubstr("/overrides: names users"), HasSubstr("/allow: names users"),
                            HasSubstr("/deny: names users")));
    EXPECT_THAT(about(R"({"limit":5,"window":"1s","overrides":{"bob":9},"allow":["bob","eve"],"deny":["eve"]})"),
                ElementsAre(HasSubstr("warning: /overrides/bob: never asked"),
                            R"(warning: /allow: "eve" is in "deny" too, which wins)"));
    EXPECT_THAT(about(R"({"limit":5,"window":"1s","per":["ip"],"deny":["10.0.0.0/8","2001:db8:1:2::/64","a/b"]})"),
                ElementsAre(HasSubstr(R"(warning: /deny: "10.0.0.0/8" is compared as a text)")));
}

} // namespace
