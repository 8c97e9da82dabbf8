#include "config/load.hpp"
#include "config/show.hpp"
#include "support/paths.hpp"

#include <gmock/gmock.h>

namespace {

using namespace weir::config;

TEST(config_show, what_is_shown_loads_again_and_shows_the_same) {
    auto original = load_file(weir::test::source_path("examples/weir.json"));
    ASSERT_TRUE(original.value);
    auto shown = show(*original.value);
    auto again = load_text(shown.dump());
    ASSERT_TRUE(again.value) << to_string(again.issues.at(0), "shown");
    EXPECT_EQ(show(*again.value), shown);
    EXPECT_EQ(shown["limits"]["tokens"]["cost"], "header:x-estimated-tokens");
    EXPECT_EQ(shown["routes"][0]["path"], "/v1/chat/*");
    EXPECT_EQ(shown["drain"], "10s");
}

TEST(config_show, secrets_are_masked) {
    auto loaded = load_text(R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},
        "admin":{"token":"hunter2hunter2hunter2"},"redis":{"url":"redis://weir:hunter2@127.0.0.1:6379/1"},
        "routes":[{"name":"r","path":"/*","upstream":"u"}]})");
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto text = show(*loaded.value).dump();
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("hunter2")));
    EXPECT_THAT(text, testing::HasSubstr("redis://weir:***@127.0.0.1:6379/1"));
    EXPECT_EQ(mask_url("redis://:p%40ss@h"), "redis://:***@h");
    EXPECT_EQ(mask_url("unix:///run/redis.sock?db=2"), "unix:///run/redis.sock?db=2");
    EXPECT_EQ(mask_url("pass word"), "***");
    EXPECT_EQ(mask_url("redis://h?sentinel_password=a&node=h:1&sentinel_password=b"),
              "redis://h?sentinel_password=***&node=h:1&sentinel_password=***");
}

TEST(config_show, a_group_behind_sentinels_is_shown_without_their_password) {
    auto loaded = load_text(R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},
        "redis":{"url":"redis://:hunter2@","mode":"sentinel","master":"group","sentinels":["[::1]:26379"],
                 "sentinel_password":"hunter3"},
        "routes":[{"name":"r","path":"/*","upstream":"u"}]})");
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto const redis = show(*loaded.value)["redis"];
    EXPECT_EQ(redis["mode"], "sentinel");
    EXPECT_EQ(redis["master"], "group");
    EXPECT_EQ(redis["sentinels"][0], "[::1]:26379");
    EXPECT_EQ(redis["url"], "redis://:***@");
    EXPECT_EQ(redis["sentinel_password"], "***");
}

} // namespace
