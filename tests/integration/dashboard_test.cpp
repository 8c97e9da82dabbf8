#include "support/http_client.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>

// The dashboard as a real Chromium shows it, of the real program with real traffic.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class dashboard : public testing::Test {
protected:
    /// Runs weir with one limit of 5 an hour.
    void start(std::string const& token) {
        json const settings{
            {"listen", {{{"address", "127.0.0.1:0"}}}},
            {"admin", {{"address", "127.0.0.1:0"}, {"token", token}}},
            {"workers", 1},
            {"access_log", "off"},
            {"redis", {{"url", redis_.url()}}},
            {"identity", {{{"header", "x-user"}}, "ip"}},
            {"limits", {{"per-user", {{"limit", 5}, {"window", "1h"}}}}},
            {"upstreams", {{"api", {{"targets", {"http://127.0.0.1:" + std::to_string(up_.port())}}}}}},
            {"routes", {{{"name", "chat"}, {"path", "/*"}, {"upstream", "api"}, {"limits", {"per-user"}}}}}};
        auto const file = directory_.path() + "/weir.json";
        std::ofstream(file) << settings.dump();
        weir_ = std::make_unique<program>(std::vector<std::string>{"serve", "--config", file});
        served_ = port_in("listening on 127.0.0.1:");
        admin_ = port_in("\"event\":\"admin_listening\"");
    }

    std::uint16_t port_in(std::string const& text) {
        auto const line = weir_->wait_for_error_line(text);
        return static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind("127.0.0.1:") + 10)));
    }

    std::string url() const { return "http://127.0.0.1:" + std::to_string(admin_) + "/"; }

    json look(std::string const& token) const {
        program browser("/usr/bin/python3", {source_path("tests/browser/dashboard.py"), url(), token});
        EXPECT_EQ(browser.wait(), 0) << browser.err();
        return json::parse(browser.out());
    }

    void request_as(std::string const& user, int times) const {
        http_client client({asio::ip::address_v4::loopback(), served_});
        for (int i = 0; i < times; ++i)
            client.get("/v1/<b>chat", "X-User: " + user + "\r\n");
    }

    temporary_directory directory_;
    redis_server redis_;
    upstream up_{upstream::always("served")};
    std::unique_ptr<program> weir_;
    std::uint16_t served_ = 0, admin_ = 0;
};

TEST_F(dashboard, shows_what_happens_and_runs_nothing_that_a_client_wrote) {
    start("");
    std::string const attack = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>";
    request_as(attack, 8);
    request_as("alice", 2);
    auto const seen = look("");
    EXPECT_EQ(seen.at("asked_for_token"), false);
    EXPECT_EQ(seen.at("title"), "Weir");
    EXPECT_THAT(seen.at("top_users").get<std::vector<std::string>>(), testing::ElementsAre(attack, "alice"));
    auto const text = seen.at("text").get<std::string>();
    for (auto const* expected : {"ready", "Redis up", "chat", "per-user", "5 / h, sliding window", "Latest refusals",
                                 "the limit \"per-user\" is used up", "429"})
        EXPECT_THAT(text, HasSubstr(expected));
    EXPECT_EQ(seen.at("hacked"), "undefined");
    EXPECT_EQ(seen.at("images"), 0);
    EXPECT_EQ(seen.at("inline_script_ran"), false) << "the policy allows the page's own script alone";
    EXPECT_GE(seen.at("curves"), 1);
    EXPECT_THAT(seen.at("requests").get<std::vector<std::string>>(),
                Each(testing::AnyOf(StartsWith(url()), StartsWith("data:"))));
    for (auto const& complaint : seen.at("complaints")) // parts of the API that are not there are no error of the page
        EXPECT_THAT(complaint.get<std::string>(), testing::AnyOf(HasSubstr("/v1/circuits"), HasSubstr("/v1/locks"),
                                                                 HasSubstr("Content Security Policy")));
}

TEST_F(dashboard, fits_a_phone_and_follows_the_light) {
    start("");
    auto const views = look("").at("views");
    ASSERT_EQ(views.size(), 3u);
    for (auto const& view : views)
        EXPECT_LE(view.at("scroll_width"), view.at("width")) << view;
    EXPECT_NE(views[0].at("background"), views[1].at("background"));
}

TEST_F(dashboard, asks_for_the_token_where_there_is_one) {
    std::string const token = "0123456789abcdef-browser";
    start(token);
    request_as("alice", 1);
    auto const seen = look(token);
    EXPECT_EQ(seen.at("asked_for_token"), true);
    EXPECT_THAT(seen.at("top_users").get<std::vector<std::string>>(), Contains("alice"));
    for (auto const& url : seen.at("requests"))
        EXPECT_THAT(url.get<std::string>(), Not(HasSubstr(token))) << "no secret in an address";
}

} // namespace
} // namespace weir::test
