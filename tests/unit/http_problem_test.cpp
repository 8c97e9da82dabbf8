#include <weir/http/json_string.hpp>
#include <weir/http/problem.hpp>

#include <nlohmann/json.hpp>

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace {

using namespace std::string_literals;
using namespace weir::http;

std::string json_of(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

TEST(http_json_string, escapes_what_json_asks_for) {
    EXPECT_EQ(json_of("a\"b\\c/d"), R"("a\"b\\c/d")");
    EXPECT_EQ(json_of("\n\r\t\x01\x1f\x7f"s + '\0'), R"("\n\r\t\u0001\u001f\u007f\u0000")");
    EXPECT_EQ(json_of(""), "\"\"");
}

TEST(http_json_string, replaces_what_is_not_utf8) {
    EXPECT_EQ(json_of("é€😀"), "\"é€😀\"");
    for (std::string const bad : {"\xc0", "\xff", "\x80", "\xc3"})
        EXPECT_EQ(json_of("a" + bad + "b"), "\"a\xef\xbf\xbd"
                                            "b\"");
    EXPECT_EQ(json_of("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"") << "overlong";
    EXPECT_EQ(json_of("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"") << "a surrogate";
    EXPECT_EQ(json_of("\xf4\x90\x80\x80").size(), 14U) << "above U+10FFFF";
}

TEST(http_json_string, gives_valid_json_for_every_pair_of_bytes) {
    for (int a = 0; a < 256; ++a)
        for (int b = 0; b < 256; ++b) {
            std::string const text{static_cast<char>(a), static_cast<char>(b)};
            EXPECT_TRUE(nlohmann::json::accept(json_of(text))) << a << ' ' << b;
        }
}

TEST(http_json_string, tells_whether_every_byte_stands_for_itself) {
    for (std::size_t size = 0; size < 40; ++size) {
        std::string text(size, 'a');
        EXPECT_TRUE(is_plain_json(text)) << size;
        for (auto& each : text)
            for (int byte = 0; byte < 256; ++byte) {
                each = static_cast<char>(byte);
                auto const plain = byte < 0x80 && json_of(text) == '"' + text + '"';
                EXPECT_EQ(is_plain_json(text), plain) << byte << " in " << size;
                each = 'a';
            }
    }
}

TEST(http_problem, says_no_more_than_the_status_by_default) {
    std::string out;
    append_problem(out, {.status = 404});
    EXPECT_EQ(out, R"({"type":"about:blank","title":"Not Found","status":404})");
}

TEST(http_problem, names_the_rules_that_refused) {
    std::string out;
    std::array<std::string_view, 2> const rules{"per-user", "per-\"ip\""};
    append_problem(out, {.status = 429,
                         .type = quota_exceeded_type,
                         .detail = "try again in 3 s",
                         .request_id = "a\nb",
                         .violated_policies = rules});
    auto const json = nlohmann::json::parse(out);
    EXPECT_EQ(json["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    EXPECT_EQ(json["status"], 429);
    EXPECT_EQ(json["title"], "Request cannot be satisfied as assigned quota has been exceeded");
    EXPECT_EQ(json["violated-policies"], (nlohmann::json{"per-user", "per-\"ip\""}));
    EXPECT_EQ(json["request_id"], "a\nb");
}

TEST(http_problem, knows_the_phrases_of_statuses) {
    EXPECT_EQ(status_phrase(429), "Too Many Requests");
    EXPECT_EQ(status_phrase(799), "Unknown");
}

TEST(http_problem, tells_what_is_wrong_and_where) {
    std::array const errors{problem_error{"/0/cost", "must be \"whole\""}, problem_error{"", "x"}};
    problem what;
    what.status = 400;
    what.errors = errors;
    std::string text;
    append_problem(text, what);
    auto const json = nlohmann::json::parse(text);
    EXPECT_EQ(json.at("errors").at(0).at("pointer"), "/0/cost");
    EXPECT_EQ(json.at("errors").at(0).at("detail"), "must be \"whole\"");
    EXPECT_EQ(json.at("errors").at(1).at("pointer"), "");
}

} // namespace
