#include "support/admin_request.hpp"
#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

// /v1/circuits and /v1/reload of a real program.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class admin_circuits : public testing::Test {
protected:
    void SetUp() override {
        write();
        weir_.emplace(std::vector<std::string>{"serve", "--config", file()});
        proxy_ = weir_->wait_for_error_line("listening on ");
        admin_ = weir_->wait_for_error_line("metrics and health at ");
    }

    void write(std::string const& more = {}) const {
        std::ofstream(file()) << R"({"listen":[{"address":"127.0.0.1:0"}],"admin":{"address":"127.0.0.1:0",)"
                              << R"("token":"0123456789abcdef"},"access_log":"off","workers":1,"redis":{"url":")"
                              << redis_.url() << R"("},"circuits":{"api":{"minimum_calls":3,"open_for":"1m"}},)" << more
                              << R"("upstreams":{"u":{"targets":["http://127.0.0.1:)" << up_.port()
                              << R"("],"circuit":"api"}},"routes":[{"name":"all","path":"/*","upstream":"u"}]})";
    }
    std::string file() const { return directory_.path() + "/weir.json"; }

    static http_client connect(std::string const& address) { return http_client(endpoint_in(address)); }

    http_response ask(std::string const& target, std::string const& method = "GET", std::string const& body = {},
                      std::string_view token = admin_token) const {
        return connect(admin_).exchange(admin_request(target, method, body, token));
    }

    /// Requests until one is answered so.
    bool until(unsigned status) const {
        auto client = connect(proxy_);
        for (int i = 0; i < 100'000; ++i)
            if (client.get("/").status == status)
                return true;
        return false;
    }

    redis_server redis_;
    std::atomic<bool> failing_{false};
    upstream up_{[this](upstream::connection& c) {
        for (;;) {
            c.read();
            c.respond("", failing_ ? "500 Oops" : "200 OK");
        }
    }};
    temporary_directory directory_;
    std::optional<program> weir_;
    std::string proxy_, admin_;
};

TEST_F(admin_circuits, are_told_with_why_they_tripped) {
    failing_ = true;
    ASSERT_TRUE(until(503));
    json shown;
    // What the worker saw has been reported when the hash is there.
    for (int i = 0; i < 10'000 && !shown["tripped"].is_object(); ++i)
        shown = json::parse(ask("/v1/circuits/api").body);
    EXPECT_EQ(shown["state"], "open");
    EXPECT_EQ(shown["here"]["workers"][0], "open");
    EXPECT_GE(shown["here"]["refused"], 1);
    EXPECT_EQ(shown["tripped"]["reason"], "failure_rate");
    EXPECT_THAT(shown["tripped"].dump(), HasSubstr("answered 500"));
    EXPECT_EQ(shown["history"][0]["to"], "open");
    auto const all = json::parse(ask("/v1/circuits").body)["circuits"];
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0]["name"], "api");
}

TEST_F(admin_circuits, are_set_by_hand_with_reason_and_end) {
    auto const said = ask("/v1/circuits/api/force-open", "POST", R"({"reason":"it burns","for":"10m","who":"ada"})");
    ASSERT_EQ(said.status, 200) << said.body;
    EXPECT_EQ(json::parse(said.body)["state"], "forced_open");
    EXPECT_TRUE(until(503));
    auto const shown = json::parse(ask("/v1/circuits/api").body);
    EXPECT_EQ(shown["who"], "ada");
    EXPECT_EQ(shown["note"], "it burns");
    EXPECT_GT(shown["remaining_ms"], 500'000);
    EXPECT_EQ(json::parse(ask("/v1/circuits/api/reset", "POST").body)["state"], "closed");
    EXPECT_TRUE(until(200));
    EXPECT_EQ(json::parse(ask("/v1/circuits/api/force-closed", "POST").body)["state"], "metrics_only");
    EXPECT_EQ(json::parse(ask("/v1/circuits/api/disable", "POST").body)["state"], "disabled");
    EXPECT_EQ(json::parse(ask("/v1/circuits/api/auto", "POST").body)["state"], "closed");
}

TEST_F(admin_circuits, bad_questions_are_named) {
    EXPECT_EQ(ask("/v1/circuits/api", "GET", {}, "wrong").status, 401);
    auto const unknown = ask("/v1/circuits/apy");
    EXPECT_EQ(unknown.status, 404);
    EXPECT_THAT(unknown.body, HasSubstr(R"(did you mean \"api\"?)"));
    EXPECT_EQ(ask("/v1/circuits/api/explode", "POST").status, 404);
    EXPECT_EQ(ask("/v1/circuits/api/force-open").status, 405);
    EXPECT_THAT(ask("/v1/circuits/api/force-open", "POST", "x").body, HasSubstr("the body must be an object"));
    EXPECT_THAT(ask("/v1/circuits/api/force-open", "POST", R"({"for":"soon"})").body, HasSubstr("for: "));
    EXPECT_THAT(ask("/v1/circuits/api/auto", "POST", R"({"for":"1m"})").body, HasSubstr("this has no end"));
    EXPECT_THAT(ask("/v1/circuits/api/auto", "POST", R"({"reson":"x"})").body, HasSubstr("did you mean"));
}

TEST_F(admin_circuits, the_configuration_is_read_again_when_asked) {
    write(R"("drain":"1s",)");
    auto const done = ask("/v1/reload", "POST");
    EXPECT_EQ(done.status, 200) << done.body;
    EXPECT_EQ(json::parse(done.body)["reloaded"], true);
    write(R"("drain":"soon","lmits":{},)");
    auto const refused = ask("/v1/reload", "POST");
    EXPECT_EQ(refused.status, 422);
    auto const said = json::parse(refused.body);
    EXPECT_EQ(said["reloaded"], false);
    ASSERT_EQ(said["errors"].size(), 2u) << refused.body;
    EXPECT_EQ(said["hash"], json::parse(done.body)["hash"]);
    EXPECT_EQ(ask("/v1/reload", "GET").status, 405);
    EXPECT_EQ(ask("/v1/reload", "POST", {}, "wrong").status, 401);
    EXPECT_TRUE(until(200));
}

} // namespace
} // namespace weir::test
