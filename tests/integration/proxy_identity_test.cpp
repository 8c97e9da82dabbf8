#include "config/load.hpp"
#include "support/decision_service.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <weir/http/api_keys.hpp>

#include <fstream>

// Who asks, proved by a key or a token, through the proxy; the tokens are made by another implementation.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class proxy_identity : public testing::Test {
protected:
    static void SetUpTestSuite() {
        auto const script = source_path("tests/support/make_tokens.py");
        program made("/usr/bin/python3", {script, "alice"}); // Debian's, which has its packages
        ASSERT_EQ(made.wait(), 0) << made.err();
        tokens_ = json::parse(made.out());
    }

    void SetUp() override {
        write("jwks.json", tokens_.at("jwks").dump());
        json keys;
        keys["keys"] = {
            {{"sha256", http::hash_api_key("red-key")}, {"user", "alice"}, {"attributes", {{"team", "red"}}}},
            {{"sha256", http::hash_api_key("old-key")}, {"user", "eve"}, {"expires", "2020-01-01"}}};
        write("keys.json", keys.dump());
    }

    void write(std::string const& name, std::string const& text) const { std::ofstream(path(name)) << text; }
    std::string path(std::string const& name) const { return directory_.path() + '/' + name; }

    /// Those sources, and one limit of `limit` an hour.
    config::config settings(std::vector<json> const& identity, std::uint64_t limit = 100,
                            std::vector<std::string> const& per = {"user"}) const {
        json const document{{"listen", {{{"address", "127.0.0.1:0"}}}},
                            {"workers", 1},
                            {"access_log", "off"},
                            {"redis", {{"timeout", "5s"}}},
                            {"identity", identity},
                            {"limits", {{"l", {{"limit", limit}, {"window", "1h"}, {"per", per}}}}},
                            {"upstreams", {{"u", {{"targets", {"http://127.0.0.1:" + std::to_string(up_.port())}}}}}},
                            {"routes", {{{"name", "all"}, {"path", "/*"}, {"upstream", "u"}, {"limits", {"l"}}}}}};
        auto loaded = config::load_text(document.dump());
        for (auto const& issue : loaded.issues)
            ADD_FAILURE() << config::to_string(issue, "config");
        return *loaded.value;
    }

    json jwt(bool required = false) const {
        return {{"jwt",
                 {{"jwks_file", path("jwks.json")},
                  {"issuer", "https://issuer.example"},
                  {"audience", {"api", "web"}},
                  {"attributes", {"team"}},
                  {"required", required}}}};
    }
    json api_key(bool required = false) const {
        return {{"api_key", {{"keys_file", path("keys.json")}, {"required", required}}}};
    }

    static std::string bearer(std::string const& token) { return "Authorization: Bearer " + token + "\r\n"; }

    /// The keys under which anything was counted.
    std::string counted() { return redis_.run({"KEYS", "rate:*:*"}); } // a line each

    static json tokens_;
    temporary_directory directory_;
    redis_server redis_;
    upstream up_{upstream::always("served")};
};

json proxy_identity::tokens_;

TEST_F(proxy_identity, tokens_of_every_algorithm_name_the_same_user) {
    running_proxy const proxy(settings({jwt(), "ip"}, 3), options_for(redis_));
    auto client = proxy.connect();
    for (auto const* algorithm : {"rs256", "es256", "hs256"})
        EXPECT_EQ(client.get("/", bearer(tokens_["good"][algorithm])).status, 200) << algorithm;
    EXPECT_EQ(client.get("/", bearer(tokens_["good"]["rs256"])).status, 429);
    EXPECT_EQ(counted(), "rate:alice:all\n");
    EXPECT_EQ(client.get("/").status, 200) << "without a token by address";
    EXPECT_EQ(client.get("/", "authorization: bearer  " + tokens_["good"]["es256"].get<std::string>() + "\r\n").status,
              429)
        << "the scheme is compared without regard to case";
}

TEST_F(proxy_identity, forged_tokens_and_random_keys_make_no_user_and_count_by_address) {
    running_proxy const proxy(settings({jwt(), api_key(), "ip"}), options_for(redis_));
    auto client = proxy.connect();
    for (auto const& [name, token] : tokens_["bad"].items())
        EXPECT_EQ(client.get("/", bearer(token)).status, 200) << name;
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(client.get("/", "X-Api-Key: " + http::make_api_key() + "\r\n").status, 200);
    EXPECT_EQ(client.get("/", bearer(std::string(20'000, 'x'))).status, 200);
    EXPECT_EQ(client.get("/", bearer("")).status, 200);
    EXPECT_EQ(client.get("/", "X-Api-Key: old-key\r\n").status, 200);
    EXPECT_EQ(counted(), "rate:127.0.0.1:all\n");
}

TEST_F(proxy_identity, where_it_is_required_whoever_proves_nothing_gets_401_and_is_not_counted) {
    running_proxy const proxy(settings({jwt(), api_key(true)}), options_for(redis_));
    auto client = proxy.connect();
    auto const nobody = client.get("/");
    EXPECT_EQ(nobody.status, 401);
    EXPECT_EQ(nobody.field("Content-Type"), "application/problem+json");
    EXPECT_EQ(nobody.fields.count("WWW-Authenticate"), 2u);
    EXPECT_EQ(nobody.field("WWW-Authenticate"), "Bearer");
    EXPECT_FALSE(nobody.close);
    for (auto const& [name, token] : tokens_["bad"].items()) {
        auto const refused = client.get("/", bearer(token));
        EXPECT_EQ(refused.status, 401) << name;
        EXPECT_THAT(refused.field("WWW-Authenticate"), HasSubstr("error=\"invalid_token\"")) << name;
        EXPECT_THAT(refused.body, HasSubstr("\"detail\":\"the ")) << name;
        EXPECT_THAT(refused.body, Not(HasSubstr(token.get<std::string>().substr(0, 30)))) << name;
    }
    EXPECT_THAT(client.get("/", bearer(tokens_["bad"]["expired"])).body, HasSubstr("the token has expired"));
    EXPECT_THAT(client.get("/", "X-Api-Key: nonsense\r\n").body, HasSubstr("the API key is not known"));
    EXPECT_EQ(counted(), "");
    EXPECT_EQ(up_.accepted(), 0u);

    EXPECT_EQ(client.get("/", bearer(tokens_["good"]["es256"])).status, 200);
    EXPECT_EQ(client.get("/", "X-Api-Key: red-key\r\n").status, 200);
    EXPECT_EQ(client.get("/", bearer(tokens_["bad"]["none"]) + "X-Api-Key: red-key\r\n").status, 200);
}

TEST_F(proxy_identity, a_credential_that_stands_twice_proves_nothing) {
    running_proxy const proxy(settings({jwt(), api_key(true)}), options_for(redis_));
    auto client = proxy.connect();
    std::string const good = tokens_["good"]["hs256"];
    EXPECT_EQ(client.get("/", bearer(good) + bearer(tokens_["bad"]["none"])).status, 401);
    EXPECT_EQ(client.get("/", bearer(good) + bearer(good)).status, 401);
    auto const twice = client.get("/", "X-Api-Key: red-key\r\nx-API-key: red-key\r\n");
    EXPECT_EQ(twice.status, 401);
    EXPECT_THAT(twice.body, HasSubstr("stands twice"));
}

TEST_F(proxy_identity, what_a_route_without_limits_serves_is_refused_too_where_it_is_required) {
    auto c = settings({api_key(true)});
    c.routes.front().limits.clear();
    running_proxy const proxy(std::move(c), options_for(redis_));
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/").status, 401);
    EXPECT_EQ(client.get("/", "X-Api-Key: red-key\r\n").status, 200);
    auto const posted = client.exchange("POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_EQ(posted.status, 401);
    EXPECT_EQ(client.get("/", "X-Api-Key: red-key\r\n").status, 200) << "the body was not taken for a request";
}

TEST_F(proxy_identity, attributes_that_are_proved_are_counted_by) {
    running_proxy const proxy(settings({jwt(), api_key(), "ip"}, 2, {"attribute:team"}), options_for(redis_));
    auto client = proxy.connect();
    EXPECT_EQ(client.get("/", bearer(tokens_["good"]["rs256"])).status, 200);
    EXPECT_EQ(client.get("/", "X-Api-Key: red-key\r\n").status, 200);
    EXPECT_EQ(client.get("/", bearer(tokens_["good"]["rs256"])).status, 429);
    EXPECT_EQ(counted(), "rate:red:all\n");
    EXPECT_EQ(client.get("/").status, 200) << "who has none is known by address";
}

TEST_F(proxy_identity, the_decision_service_asks_for_the_same) {
    auto c = settings({jwt(true)});
    c.decision.emplace().address = {"127.0.0.1", 0};
    c.trusted_proxies.push_back(asio::ip::make_network_v4("127.0.0.0/8"));
    running_proxy const service(std::move(c), options_for(redis_));
    auto client = connect_to_decisions(service);
    auto const refused = client.get("/authorize", original("/x"));
    EXPECT_EQ(refused.status, 401);
    EXPECT_EQ(refused.field("WWW-Authenticate"), "Bearer");
    EXPECT_EQ(client.get("/authorize?refusal=403", original("/x")).status, 403);
    EXPECT_EQ(client.get("/authorize", original("/x") + bearer(tokens_["good"]["es256"])).status, 200);
}

TEST_F(proxy_identity, files_that_make_no_sense_are_errors_with_their_place) {
    auto const complaint = [&](std::vector<json> const& identity) {
        json const document{{"listen", {{{"address", "127.0.0.1:0"}}}},
                            {"identity", identity},
                            {"upstreams", {{"u", {{"targets", {"http://127.0.0.1:1"}}}}}},
                            {"routes", {{{"name", "all"}, {"path", "/*"}, {"upstream", "u"}}}}};
        auto const loaded = config::load_text(document.dump());
        return loaded.issues.empty() ? std::string{} : config::to_string(loaded.issues.front(), "f");
    };
    write("broken.json", R"({"keys":[{"sha256":"secret","user":"a"}]})");
    EXPECT_EQ(complaint({jwt(), api_key(), "ip"}), "");
    EXPECT_THAT(complaint({{{"api_key", {{"keys_file", path("broken.json")}}}}}),
                AllOf(HasSubstr("/identity/0/api_key/keys_file: " + path("broken.json") + ": /keys/0: \"sha256\" must"),
                      Not(HasSubstr("secret"))));
    EXPECT_THAT(complaint({{{"api_key", {{"keys_file", path("absent.json")}}}}}),
                HasSubstr("absent.json: cannot be opened: No such file"));
    EXPECT_THAT(complaint({{{"jwt", {{"jwks_file", path("keys.json")}}}}}), HasSubstr("holds no key for RS256"));
    EXPECT_THAT(complaint({{{"jwt", json::object()}}}), HasSubstr("\"jwks_file\" is missing"));
    EXPECT_THAT(complaint({{{"header", "x"}, {"api_key", {{"keys_file", path("keys.json")}}}}}),
                HasSubstr("must hold one of"));
    EXPECT_THAT(complaint({api_key(true), "ip"}), HasSubstr("/identity/1: never reached: /identity/0 is required"));
    EXPECT_THAT(complaint({api_key(), api_key()}), HasSubstr("/identity/1: the same source as /identity/0"));
}

} // namespace
} // namespace weir::test
