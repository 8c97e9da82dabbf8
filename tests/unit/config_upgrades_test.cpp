#include "config/load.hpp"
#include "config/show.hpp"

#include <gmock/gmock.h>

// Protocols to which a route may switch.

namespace {

using namespace weir::config;
using testing::ElementsAre;
using testing::HasSubstr;

loaded with_upgrade(std::string const& list) {
    return load_text(R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},
                         "routes":[{"name":"r","path":"/*","upstream":"u","upgrade":)" +
                     list + "}]}");
}

TEST(config_upgrades, are_compared_without_regard_to_case_and_shown_again) {
    auto const loaded = with_upgrade(R"(["WebSocket","foo/2"])");
    ASSERT_TRUE(loaded.value);
    EXPECT_THAT(loaded.value->routes.at(0).upgrades, ElementsAre("websocket", "foo/2"));
    auto const again = load_text(show(*loaded.value).dump());
    ASSERT_TRUE(again.value);
    EXPECT_EQ(again.value->routes.at(0).upgrades, loaded.value->routes.at(0).upgrades);
}

TEST(config_upgrades, there_are_none_unless_they_are_listed) {
    auto const loaded = with_upgrade("[]");
    ASSERT_TRUE(loaded.value);
    EXPECT_TRUE(loaded.value->routes.at(0).upgrades.empty());
}

TEST(config_upgrades, what_would_carry_requests_past_us_is_refused) {
    for (auto const* protocol : {"h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.0"}) {
        auto const loaded = with_upgrade("[\"" + std::string(protocol) + "\"]");
        ASSERT_EQ(loaded.issues.size(), 1u) << protocol;
        EXPECT_EQ(loaded.issues[0].pointer, "/routes/0/upgrade/0");
        EXPECT_THAT(loaded.issues[0].message, HasSubstr("past every check and limit"));
    }
}

TEST(config_upgrades, names_that_cannot_be_and_names_written_twice_are_errors) {
    for (auto const* list : {R"(["web socket"])", R"([""])", R"(["a/b/c"])", R"(["websocket","WEBSOCKET"])", "[1]",
                             R"("websocket")", R"(["a","b","c","d","e","f","g","h","i"])"})
        EXPECT_EQ(with_upgrade(list).issues.size(), 1u) << list;
}

} // namespace
