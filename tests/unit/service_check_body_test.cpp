#include "service/check_body.hpp"

#include <gmock/gmock.h>

namespace {

using namespace weir::service;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> complaints(std::string_view text, question what = question::check) {
    check_body body;
    std::vector<body_issue> issues;
    read_check_body(text, what, body, issues);
    std::vector<std::string> lines;
    for (auto const& each : issues)
        lines.push_back(each.pointer + ": " + each.detail);
    return lines;
}

/// A check whose cost is written so.
std::string with_cost(std::string_view cost) {
    return R"({"user":"u","endpoint":"e","cost":)" + std::string(cost) + "}";
}

TEST(service_check_body, one_check_and_several) {
    check_body body;
    std::vector<body_issue> issues;
    read_check_body(R"({"user":"a","endpoint":"/v1","cost":3,"rule":"per-user"})", question::check, body, issues);
    EXPECT_THAT(issues, IsEmpty());
    EXPECT_FALSE(body.array);
    ASSERT_EQ(body.items.size(), 1U);
    EXPECT_EQ(body.items[0].user, "a");
    EXPECT_EQ(body.items[0].endpoint, "/v1");
    EXPECT_EQ(body.items[0].rule, "per-user");
    EXPECT_EQ(body.items[0].cost, 3U);
    EXPECT_EQ(body.pointer_of(0), "");

    read_check_body(R"( [ {"endpoint":"e","user":"\u00e9\n"} , {"user":"b","endpoint":"f","cost":0} ] )",
                    question::check, body, issues);
    EXPECT_THAT(issues, IsEmpty());
    EXPECT_TRUE(body.array);
    ASSERT_EQ(body.items.size(), 2U);
    EXPECT_EQ(body.items[0].user, "\xc3\xa9\n");
    EXPECT_EQ(body.items[0].cost, std::nullopt);
    EXPECT_EQ(body.items[0].rule, "");
    EXPECT_EQ(body.items[1].cost, 0U);
    EXPECT_EQ(body.pointer_of(1), "/1");
}

TEST(service_check_body, a_cost_is_a_whole_number_up_to_2_to_the_53) {
    for (auto const& [text, value] : {std::pair{"1", 1ULL},
                                      {"0", 0ULL},
                                      {"1.0", 1ULL},
                                      {"1e3", 1000ULL},
                                      {"9007199254740992", 9007199254740992ULL}}) {
        check_body body;
        std::vector<body_issue> issues;
        read_check_body(with_cost(text), question::check, body, issues);
        EXPECT_THAT(issues, IsEmpty()) << text;
        EXPECT_EQ(body.items.at(0).cost, value) << text;
    }
    for (auto const* wrong : {"-1", "-0.5", "0.5", "1.25", "9007199254740993", "9007199254740994", "1e20",
                              "18446744073709551616", "-9223372036854775809"})
        EXPECT_THAT(complaints(with_cost(wrong)),
                    ElementsAre("/cost: must be a whole number from 0 to 9007199254740992"))
            << wrong;
    EXPECT_THAT(complaints(with_cost("1e999")), ElementsAre("/cost: a number that is too large"));
    for (auto const* none : {"NaN", "Infinity", "+1", "0x10", "01", "1_0"})
        EXPECT_THAT(complaints(with_cost(none)), ElementsAre(HasSubstr("/cost: not JSON: a syntax error at byte ")))
            << none;
}

TEST(service_check_body, what_has_the_wrong_type_is_named) {
    EXPECT_THAT(complaints(R"({"user":1,"endpoint":null,"cost":"1","rule":["x",{"a":[1]}]})"),
                ElementsAre("/user: must be a string, not a number", "/endpoint: must be a string, not null",
                            "/cost: must be a whole number from 0 to 9007199254740992, not a string",
                            "/rule: must be the name of a limit, not an array"));
    EXPECT_THAT(complaints(R"({"user":{"user":"x"},"endpoint":true,"cost":{}})"),
                ElementsAre("/user: must be a string, not an object", "/endpoint: must be a string, not a boolean",
                            "/cost: must be a whole number from 0 to 9007199254740992, not an object"));
    for (auto const* scalar : {"1", "\"x\"", "null", "true", "-1", "0.5"})
        EXPECT_THAT(complaints(scalar), ElementsAre(HasSubstr(": must be an object or an array of objects, not ")))
            << scalar;
    EXPECT_THAT(complaints("[1]"), ElementsAre("/0: must be an object, not a number"));
    EXPECT_THAT(complaints(R"([{"user":"u","endpoint":"e"},[]])"), ElementsAre("/1: must be an object, not an array"));
    EXPECT_THAT(complaints("[]"), ElementsAre(": must not be empty"));
}

TEST(service_check_body, what_is_missing_unknown_doubled_or_empty_is_named) {
    EXPECT_THAT(complaints("{}"),
                ElementsAre(": the member \"user\" is missing", ": the member \"endpoint\" is missing"));
    EXPECT_THAT(complaints(R"([{"user":"u","endpoint":"e"},{"user":"u"}])"),
                ElementsAre("/1: the member \"endpoint\" is missing"));
    EXPECT_THAT(complaints(R"({"user":"u","endpoint":"e","usr":{"deep":[1]},"a/b~":1})"),
                ElementsAre("/usr: unknown member; did you mean \"user\"?", HasSubstr("/a~1b~0: unknown member")));
    EXPECT_THAT(complaints(R"({"user":"u","user":1,"endpoint":"e"})"), ElementsAre("/user: written twice"));
    EXPECT_THAT(complaints(R"({"user":"","endpoint":"e"})"), ElementsAre("/user: must not be empty"));
    EXPECT_THAT(complaints(R"({"user":")" + std::string(4097, 'u') + R"(","endpoint":"e"})"),
                ElementsAre("/user: longer than 4096 bytes"));
}

TEST(service_check_body, what_is_no_json_is_told_from_where) {
    for (auto const* text : {"", " ", "{", "[", "user=u", R"({"user":"u","endpoint":"e"} x)", R"({'user':'u'})", "\xff",
                             R"({"user":"u","endpoint":"e",})"})
        EXPECT_THAT(complaints(text), ElementsAre(HasSubstr("not JSON: a syntax error at byte"))) << text;
    EXPECT_THAT(complaints(R"([{"user":"u","endpoint":"e"},{"user":"u" "e"}])"),
                ElementsAre(HasSubstr("/1/user: not JSON")));
    EXPECT_THAT(complaints("{\"user\":\"\xff\",\"endpoint\":\"e\"}"), ElementsAre(HasSubstr("/user: not JSON")));
}

TEST(service_check_body, however_much_is_wrong_little_is_said) {
    std::string many = "[";
    for (int i = 0; i < 129; ++i)
        many += std::string(i ? "," : "") + R"({"user":"u","endpoint":"e"})";
    EXPECT_THAT(complaints(many + "]"), ElementsAre(": at most 128 checks in one body"));
    std::string wrong = "[";
    for (int i = 0; i < 100; ++i)
        wrong += std::string(i ? "," : "") + "{}";
    EXPECT_EQ(complaints(wrong + "]").size(), 16U);
    EXPECT_THAT(complaints(std::string(60'000, '[')), ElementsAre("/0: must be an object, not an array"));
    EXPECT_THAT(complaints(R"({"user":)" + std::string(60'000, '[')),
                ElementsAre("/user: must be a string, not an array", HasSubstr("not JSON")));
}

TEST(service_check_body, a_request_that_goes_on_has_an_id_and_stands_alone) {
    auto const with = [](std::string_view more) { return R"({"user":"u","endpoint":"e")" + std::string(more) + "}"; };
    EXPECT_THAT(complaints(with(""), question::reserve), IsEmpty());
    for (auto const what : {question::extend, question::settle}) {
        EXPECT_THAT(complaints(with(""), what), ElementsAre(": the member \"request_id\" is missing"));
        EXPECT_THAT(complaints(with(R"(,"request_id":"r","keep_ms":1000)"), what), IsEmpty());
        EXPECT_THAT(complaints("[" + with(R"(,"request_id":"r")") + "]", what),
                    ElementsAre(": must be an object, not an array"));
    }
    EXPECT_THAT(complaints(with(R"(,"request_id":7,"keep_ms":999)")),
                ElementsAre("/request_id: must be a string, not a number",
                            "/keep_ms: must be a whole number from 1000 to 31622400000"));
    EXPECT_THAT(complaints(with(R"(,"request_id":"","keep_ms":31622400001)")),
                ElementsAre("/request_id: must not be empty", HasSubstr("/keep_ms: must be a whole number")));
}

} // namespace
