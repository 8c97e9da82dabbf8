#include "config/load.hpp"
#include "support/paths.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

namespace {

using namespace weir::config;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// A small valid file with `extra` before its end.
std::string with(std::string_view extra) {
    return R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"api":{"targets":["http://127.0.0.1:9001"]}},)"
           R"("routes":[{"name":"all","path":"/*","upstream":"api"}])" +
           std::string(extra) + "}";
}

std::vector<std::string> complaint_lines(std::string_view text) {
    std::vector<std::string> lines;
    for (auto const& found : load_text(text).issues)
        lines.push_back(to_string(found, "f"));
    return lines;
}

/// The complaints without their places.
std::vector<std::string> culprits(std::string_view text) {
    std::vector<std::string> lines;
    for (auto const& found : load_text(text).issues)
        lines.push_back(found.pointer + ": " + found.message);
    return lines;
}

TEST(config_load, the_example_of_the_repository_loads_completely) {
    ::unsetenv("USER_LIMIT");
    ::unsetenv("REDIS_URL");
    auto result = load_file(weir::test::source_path("examples/weir.json"));
    for (auto const& found : result.issues)
        ADD_FAILURE() << to_string(found, "weir.json");
    ASSERT_TRUE(result.value);
    auto const& c = *result.value;
    EXPECT_EQ(c.listen.at(0), (endpoint{"127.0.0.1", 8080}));
    EXPECT_EQ(c.workers, 2U);
    EXPECT_EQ(c.redis.url, "redis://127.0.0.1:6379");
    EXPECT_EQ(c.trusted_proxies.size(), 1U);
    EXPECT_EQ(c.identity.at(0).header, "x-user-id");
    EXPECT_EQ(c.identity.at(1).from, identity_source::type::ip);
    ASSERT_EQ(c.limits.size(), 5U);
    EXPECT_EQ(c.limits[0].rule.limit, 100U);
    EXPECT_EQ(c.limits[0].rule.window, std::chrono::minutes{1});
    EXPECT_EQ(c.limits[1].cost_header, "x-estimated-tokens");
    EXPECT_EQ(c.limits[1].rule.on_redis_failure, weir::on_redis_failure::closed);
    EXPECT_EQ(c.limits[0].rule.overrides.at("batch").limit, 1000U);
    EXPECT_EQ(c.limits[2].endpoint, endpoint_scope::any);
    EXPECT_EQ(c.limits[2].rule.penalty.after, 100U);
    EXPECT_EQ(c.limits[3].rule.algorithm, weir::algorithm::concurrency);
    EXPECT_TRUE(c.limits[4].rule.shadow);
    ASSERT_EQ(c.upstreams.size(), 1U);
    EXPECT_EQ(c.upstreams[0].targets.at(1).port, 9002);
    ASSERT_EQ(c.routes.size(), 2U);
    EXPECT_EQ(c.routes[0].path, "/v1/chat/");
    EXPECT_TRUE(c.routes[0].prefix);
    EXPECT_THAT(c.routes[0].methods, ElementsAre("POST"));
    EXPECT_THAT(c.routes[0].limits, ElementsAre(0U, 1U, 3U));
    EXPECT_THAT(c.routes[1].limits, ElementsAre(0U, 2U, 4U));
    EXPECT_EQ(c.http.max_head, 32U * 1024);
    EXPECT_EQ(c.access_log, "-");
}

TEST(config_load, what_is_absent_has_its_default) {
    auto result = load_text(with(""));
    ASSERT_TRUE(result.value) << to_string(result.issues.at(0), "f");
    EXPECT_EQ(result.value->admin, (endpoint{"127.0.0.1", 9900}));
    EXPECT_EQ(result.value->redis.timeout, milliseconds{50});
    EXPECT_EQ(result.value->headers, rate_limit_headers::draft11);
}

TEST(config_load, every_error_of_a_file_is_reported_with_its_place_and_pointer) {
    EXPECT_THAT(
        complaint_lines(R"({
  "listen": [{ "address": "localhost:8080" }],
  "wrokers": 2,
  "workers": "two",
  "limits": {
    "per-user": { "limit": -1, "window": "1 minute" },
    "bad name": { "limit": 1.5, "window": 60 }
  },
  "upstreams": { "api": { "targets": ["gopher://a", "ftp://b"] } },
  "routes": [
    { "name": "é", "path": "v1", "upstream": "apo", "limits": ["per-usr"], "methods": ["POTS"] }
  ]
})"),
        ElementsAre(
            HasSubstr(R"(f:2:27: /listen/0/address: "localhost:8080": "localhost" is not an IP address)"),
            R"(f:3:3: /wrokers: unknown field; did you mean "workers"?)",
            "f:4:14: /workers: must be a whole number from 0 to 1024, not a string",
            "f:6:28: /limits/per-user/limit: must be a whole number from 0 to 140737488355327",
            HasSubstr("f:6:42: /limits/per-user/window: \"1 minute\" is not a duration"),
            HasSubstr("f:7:5: /limits/bad name: \"bad name\" is not a valid name"),
            "f:7:28: /limits/bad name/limit: must be a whole number from 0 to 140737488355327",
            HasSubstr("f:7:43: /limits/bad name/window: must be a duration with its unit"),
            HasSubstr("f:9:39: /upstreams/api/targets/0: \"gopher://a\": an upstream's address starts with http:// or"),
            HasSubstr("f:9:53: /upstreams/api/targets/1: \"ftp://b\""),
            HasSubstr("f:11:15: /routes/0/name: \"é\" is not a valid name"),
            HasSubstr("f:11:28: /routes/0/path: \"v1\" is not a path"),
            R"(f:11:46: /routes/0/upstream: no upstream is called "apo"; did you mean "api"?)",
            R"(f:11:64: /routes/0/limits/0: no limit is called "per-usr"; did you mean "per-user"?)",
            R"(f:11:88: /routes/0/methods/0: unknown method "POTS"; did you mean "POST"?)"));
}

TEST(config_load, a_syntax_error_has_line_and_column_and_does_not_repeat_the_text) {
    EXPECT_THAT(complaint_lines("{\n  \"redis\": { \"url\": \"redis://:hunter2@h\" ]\n}"),
                ElementsAre(AllOf(HasSubstr("f:2:42: syntax error while parsing object"), Not(HasSubstr("hunter2")))));
    EXPECT_THAT(complaint_lines(""), ElementsAre(HasSubstr("f:1:1: syntax error")));
    EXPECT_THAT(complaint_lines(R"({"a": "hunter2)"),
                ElementsAre(AllOf(HasSubstr("f:1:15: "), Not(HasSubstr("hunter2")))));
    EXPECT_THAT(complaint_lines("{} {}"), ElementsAre(HasSubstr("f:1:4: syntax error")));
    EXPECT_THAT(complaint_lines("[1e999]"), ElementsAre(HasSubstr("number overflow")));
    EXPECT_THAT(complaint_lines(std::string(100, '[')), ElementsAre(HasSubstr("nested deeper than 64 levels")));
}

TEST(config_load, a_key_written_twice_is_an_error_that_names_the_first) {
    EXPECT_THAT(complaint_lines("{\"limits\": {\n \"a\": {\"limit\": 1, \"window\": \"1s\"},\n \"a\": {}\n}}"),
                testing::Contains("f:3:2: /limits/a: written twice: the first is in line 2"));
}

TEST(config_load, what_belongs_to_later_versions_is_refused_by_name_and_never_ignored) {
    EXPECT_THAT(culprits(R"({"listen":[{"address":"127.0.0.1:0"}],"cache":{},
            "limits":{"a":{"limit":1,"window":"1s","cost":1}},
            "upstreams":{"api":{"targets":["http://a"]}},"session":{},
            "routes":[{"name":"all","path":"/*","upstream":"api","cache":"pages","limits":["a"]}]})"),
                ElementsAre(HasSubstr("/cache: not supported by this version"),
                            HasSubstr("/session: not supported by this version"),
                            HasSubstr("/routes/0/cache: not supported by this version")));
}

TEST(config_load, missing_parts_are_named) {
    EXPECT_THAT(culprits("{}"), ElementsAre(HasSubstr(R"(the field "listen" is missing)"),
                                            HasSubstr(R"(the field "upstreams" is missing)"),
                                            HasSubstr(R"(the field "routes" is missing)")));
    EXPECT_THAT(culprits("[]"), ElementsAre(": must be an object, not an array"));
    EXPECT_THAT(culprits(R"({"listen":[],"upstreams":{},"routes":[]})"),
                ElementsAre("/listen: must not be empty", "/routes: must not be empty"));
}

TEST(config_load, a_cost_that_the_response_says_is_reserved_and_settled) {
    auto const cost = [](std::string_view what) {
        return R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},
            "limits":{"t":{"limit":100,"window":"1m","cost":)" +
               std::string(what) + R"(}},"routes":[{"name":"r","path":"/*","upstream":"u","limits":["t"]}]})";
    };
    auto const result = load_text(cost(R"({"reserve":"header:X-Tokens","settle":"response:/usage/total_tokens"})"));
    ASSERT_TRUE(result.value) << to_string(result.issues.at(0), "f");
    EXPECT_EQ(result.value->limits[0].cost_header, "x-tokens");
    EXPECT_EQ(result.value->limits[0].settle->text(), "/usage/total_tokens");
    EXPECT_EQ(load_text(cost(R"({"reserve":50,"settle":"response:"})")).value->limits[0].cost, 50U);
    EXPECT_THAT(culprits(cost("{}")), ElementsAre(R"(/limits/t/cost: the field "reserve" is missing)",
                                                  R"(/limits/t/cost: the field "settle" is missing)"));
    EXPECT_THAT(culprits(cost(R"({"reserve":0,"settle":"/usage","ttl":1})")),
                ElementsAre(HasSubstr("/limits/t/cost/reserve: must be a whole number from 1"),
                            HasSubstr("/limits/t/cost/settle: \"/usage\" is no place in a response"),
                            HasSubstr("/limits/t/cost/ttl: unknown field")));
    EXPECT_THAT(culprits(cost(R"({"reserve":1,"settle":"response:usage"})")),
                ElementsAre(HasSubstr("/limits/t/cost/settle: \"response:usage\": a JSON pointer begins with")));
    EXPECT_THAT(culprits(cost(R"({"reserve":101,"settle":"response:/u"})")),
                ElementsAre(HasSubstr("/limits/t/cost: costs more than the limit of 100")));
    EXPECT_THAT(culprits(cost(R"("response:/u")")), ElementsAre(HasSubstr("/limits/t/cost: what the response says")));
}

TEST(config_load, the_decision_service_alone_needs_no_proxy) {
    auto const alone = R"("trusted_proxies":["10.0.0.0/8"],"routes":[{"name":"all","path":"/*"}])";
    auto result = load_text(std::string(R"({"decision":{"address":"127.0.0.1:0"},)") + alone + "}");
    ASSERT_TRUE(result.value) << to_string(result.issues.at(0), "f");
    EXPECT_TRUE(result.value->listen.empty());
    EXPECT_EQ(result.value->decision->address, (endpoint{"127.0.0.1", 0}));
    EXPECT_EQ(result.value->routes[0].upstream, no_upstream);
    EXPECT_THAT(culprits(std::string(R"({"decision":{},"listen":[{"address":"127.0.0.1:1"}],)") + alone + "}"),
                ElementsAre(R"(: the field "upstreams" is missing)", R"(/routes/0: the field "upstream" is missing)"));
    EXPECT_EQ(load_text(std::string(R"({"decision":{},)") + alone + "}").value->decision->address,
              (endpoint{"127.0.0.1", 9901}));
}

TEST(config_load, a_decision_service_open_to_the_network_needs_a_token) {
    auto const trusts = std::string(R"(,"trusted_proxies":["10.0.0.0/8"])");
    EXPECT_THAT(culprits(with(trusts + R"(,"decision":{"address":"0.0.0.0:9901"})")),
                ElementsAre(HasSubstr("/decision/address: the decision service would be open to the network")));
    EXPECT_THAT(culprits(with(trusts + R"(,"decision":{"address":"0.0.0.0:9901","token":"0123456789abcdef"})")),
                IsEmpty());
    EXPECT_THAT(culprits(with(trusts + R"(,"decision":{"token":"short"})")),
                ElementsAre(AllOf(HasSubstr("/decision/token: must be 16 to 512"), Not(HasSubstr("short")))));
    EXPECT_THAT(culprits(with(trusts + R"(,"decision":{"address":"127.0.0.1:9900"})")),
                ElementsAre(HasSubstr("/decision/address: the same address as the admin side")));
    EXPECT_THAT(
        culprits(with(R"(,"decision":{})")),
        ElementsAre(HasSubstr("/decision: no peer is in trusted_proxies, so that /authorize refuses everybody")));
}

TEST(config_load, environment_variables_stand_for_strings_and_numbers) {
    ::setenv("WEIR_TEST_LIMIT", "7", 1);
    ::unsetenv("WEIR_TEST_UNSET");
    auto result = load_text(with(R"(,"workers":"${WEIR_TEST_UNSET:-3}",
        "limits":{"a":{"limit":"${WEIR_TEST_LIMIT}","window":"${WEIR_TEST_LIMIT}s"}})"));
    ASSERT_TRUE(result.value) << to_string(result.issues.at(0), "f");
    EXPECT_EQ(result.value->workers, 3U);
    EXPECT_EQ(result.value->limits[0].rule.limit, 7U);
    EXPECT_EQ(result.value->limits[0].rule.window, std::chrono::seconds{7});
    EXPECT_THAT(culprits(with(R"(,"drain":"${WEIR_TEST_UNSET}")")),
                ElementsAre(HasSubstr("/drain: the environment variable WEIR_TEST_UNSET is not set")));
    ::setenv("WEIR_TEST_LIMIT", "lots", 1);
    EXPECT_THAT(culprits(with(R"(,"workers":"${WEIR_TEST_LIMIT}")")),
                ElementsAre(HasSubstr("/workers: \"lots\" is not a whole number")));
}

TEST(config_load, a_group_behind_sentinels_is_named_with_who_watches_it) {
    auto const with = [](std::string const& redis) {
        return R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},
            "routes":[{"name":"r","path":"/*","upstream":"u"}],"redis":)" +
               redis + "}";
    };
    auto const loaded = load_text(with(R"({"url":"redis://:pw@","mode":"sentinel","master":"group",
        "sentinels":["10.0.0.1:26379","[::1]:26380"],"sentinel_user":"w","sentinel_password":"p"})"));
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto const& redis = loaded.value->redis;
    EXPECT_EQ(redis.mode, weir::redis::topology::sentinel);
    EXPECT_EQ(redis.master, "group");
    EXPECT_THAT(redis.sentinels, ElementsAre(testing::Pair("10.0.0.1", 26379), testing::Pair("::1", 26380)));
    EXPECT_EQ(redis.sentinel_user + redis.sentinel_password, "wp");
    EXPECT_THAT(complaint_lines(with(R"({"mode":"sentinel"})")),
                ElementsAre(HasSubstr("/redis: \"mode\": \"sentinel\" wants the name of the group"),
                            HasSubstr("/redis: \"mode\": \"sentinel\" wants to know who watches")));
    EXPECT_THAT(complaint_lines(with(R"({"master":"group","sentinels":["h:1"]})")),
                ElementsAre(HasSubstr("are for \"mode\": \"sentinel\"")));
    EXPECT_THAT(complaint_lines(with(R"({"mode":"sentinel","master":"g","sentinels":["h:1"],"nodes":["h:1"]})")),
                ElementsAre(HasSubstr("nodes is for \"mode\": \"cluster\"")));
    EXPECT_THAT(complaint_lines(with(R"({"mode":"sentinel","master":"g","sentinels":["h:1", "h"]})")),
                ElementsAre(HasSubstr("/redis/sentinels/1: must be HOST:PORT")));
}

TEST(config_load, addresses_taken_twice_are_contradictions) {
    EXPECT_THAT(culprits(R"({"listen":[{"address":"127.0.0.1:8080"},{"address":"0.0.0.0:8080"},{"address":"[::]:8080"}],
        "admin":{"address":"127.0.0.1:8080"},"upstreams":{"api":{"targets":["http://a"]}},
        "routes":[{"name":"all","path":"/*","upstream":"api"}]})"),
                ElementsAre(HasSubstr("/listen/0/address: the same address as the admin side"),
                            HasSubstr("/listen/1/address: the same address as /listen/0 (127.0.0.1:8080)"),
                            HasSubstr("/listen/1/address: the same address as the admin side")));
}

TEST(config_load, an_admin_side_open_to_the_network_needs_a_token) {
    EXPECT_THAT(culprits(with(R"(,"admin":{"address":"0.0.0.0:9900"})")),
                ElementsAre(HasSubstr("/admin/address: the admin side would be open to the network")));
    EXPECT_THAT(culprits(with(R"(,"admin":{"address":"0.0.0.0:9900","token":"0123456789abcdef"})")), IsEmpty());
    EXPECT_THAT(culprits(with(R"(,"admin":{"token":"short"})")),
                ElementsAre(AllOf(HasSubstr("/admin/token: must be 16 to 512"), Not(HasSubstr("short")))));
}

/// The complaints about a list of routes.
std::vector<std::string> about_routes(std::string_view routes) {
    return culprits(R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},"routes":[)" +
                    std::string(routes) + "]}");
}

TEST(config_load, a_route_that_can_never_match_is_a_contradiction) {
    EXPECT_THAT(
        about_routes(R"({"name":"all","path":"/*","upstream":"u"},{"name":"a","path":"/a","upstream":"u"})"),
        ElementsAre(HasSubstr(R"(/routes/1: can never match: all it could serve is taken before it by "all")")));
    EXPECT_THAT(
        about_routes(R"({"name":"g","path":"/a/*","methods":["GET"],"upstream":"u"},
                                {"name":"p","path":"/*","methods":["POST","PUT"],"upstream":"u"},
                                {"name":"x","path":"/a/b/*","methods":["GET","POST"],"upstream":"u"})"),
        ElementsAre(HasSubstr(R"(/routes/2: can never match: all it could serve is taken before it by "g" and "p")")));
    EXPECT_THAT(about_routes(R"({"name":"a","path":"/a","upstream":"u"},{"name":"b","path":"/a/*","upstream":"u"},
                                {"name":"c","path":"/*","methods":["GET"],"upstream":"u"},
                                {"name":"d","path":"/*","upstream":"u"})"),
                IsEmpty());
    EXPECT_THAT(about_routes(R"({"name":"a","path":"/a","upstream":"u"},{"name":"a","path":"/b","upstream":"u"})"),
                ElementsAre(HasSubstr(R"(/routes/1/name: "a" is the name of /routes/0 already)")));
}

TEST(config_load, limits_that_cannot_admit_and_sources_that_are_never_asked_are_contradictions) {
    EXPECT_THAT(culprits(R"({"listen":[{"address":"127.0.0.1:0"}],"identity":["ip",{"header":"x-user"}],
        "limits":{"a":{"limit":5,"window":"1s","cost":6},"b":{"limit":1,"window":"367d","per":["*","ip","*"]}},
        "upstreams":{"u":{"targets":["http://a","http://a:80"]}},
        "http":{"max_head":"4KiB"},
        "routes":[{"name":"r","path":"/*","upstream":"u","limits":["a","b","a"]}]})"),
                ElementsAre(HasSubstr("/identity/1: never reached: \"ip\" before it always finds something"),
                            HasSubstr("/limits/a/cost: costs more than the limit of 5"),
                            HasSubstr("/limits/b/window: must be from 1ms to 366d"),
                            HasSubstr("/limits/b/per/1: \"*\" means everybody together and stands alone"),
                            "/limits/b/per/2: is there already",
                            HasSubstr("/upstreams/u/targets/1: \"a:80\" is there already"),
                            HasSubstr("/http/max_request_line: larger than max_head (4KiB)"),
                            HasSubstr("/routes/0/limits/2: is there already")));
}

TEST(config_load, what_is_defined_and_not_used_is_a_warning) {
    auto result = load_text(with(R"(,"limits":{"a":{"limit":1,"window":"1s"}})"));
    EXPECT_TRUE(result.value);
    ASSERT_EQ(result.issues.size(), 1U);
    EXPECT_THAT(to_string(result.issues[0], "f"), HasSubstr(": warning: /limits/a: no route uses this limit"));
}

TEST(config_load, a_file_that_cannot_be_read_says_why) {
    auto absent = load_file("/nonexistent/weir.json");
    ASSERT_EQ(absent.issues.size(), 1U);
    EXPECT_EQ(to_string(absent.issues[0], "weir.json"), "weir.json: cannot be opened: No such file or directory");
    EXPECT_THAT(to_string(load_file("/").issues.at(0), "/"), HasSubstr("/: cannot be read: Is a directory"));
    EXPECT_THAT(to_string(load_file("/dev/zero").issues.at(0), "z"), HasSubstr("larger than 16 MiB"));
}

TEST(config_load, the_schema_knows_exactly_the_fields_that_are_read) {
    std::ifstream file(weir::test::source_path("docs/weir.schema.json"));
    auto schema = nlohmann::json::parse(file);
    for (auto const& object : describe_fields()) {
        auto const& definition =
            object.definition.empty() ? schema : schema["$defs"].at(std::string(object.definition));
        std::vector<std::string> names;
        for (auto const& [name, unused] : definition.at("properties").items())
            names.push_back(name);
        EXPECT_THAT(names, testing::UnorderedElementsAreArray(object.fields)) << object.definition;
        EXPECT_EQ(definition.at("additionalProperties"), false) << object.definition;
        auto required = definition.value("required", std::vector<std::string>{});
        EXPECT_THAT(required, testing::UnorderedElementsAreArray(object.required)) << object.definition;
    }
}

TEST(config_load, whatever_the_text_each_complaint_has_a_place_in_it) {
    std::ifstream file(weir::test::source_path("examples/weir.json"));
    std::string const whole(std::istreambuf_iterator<char>(file), {});
    auto const lines = static_cast<std::size_t>(std::count(whole.begin(), whole.end(), '\n')) + 1;
    auto check = [&](std::string const& text) {
        auto result = load_text(text);
        auto errors = std::count_if(result.issues.begin(), result.issues.end(),
                                    [](issue const& i) { return i.level == issue::severity::error; });
        ASSERT_EQ(result.value == nullptr, errors > 0) << text;
        for (auto const& found : result.issues) {
            ASSERT_GE(found.line, 1U);
            ASSERT_LE(found.line, lines);
            ASSERT_FALSE(found.message.empty());
        }
    };
    for (std::size_t size = 0; size < whole.size(); size += 7)
        check(whole.substr(0, size));
    std::minstd_rand random(1);
    for (int i = 0; i < 1000; ++i) {
        auto text = whole;
        for (int change = 0; change < 3; ++change)
            text[random() % text.size()] = "{}[]\",:0-x$*/"[random() % 14];
        check(text);
    }
}

TEST(config_load, the_documentation_names_every_field) {
    std::ifstream file(weir::test::source_path("docs/configuration.md"));
    std::string text(std::istreambuf_iterator<char>(file), {});
    for (auto const& object : describe_fields())
        for (auto name : object.fields)
            EXPECT_THAT(text, HasSubstr('`' + std::string(name) + '`')) << object.definition;
}

} // namespace
