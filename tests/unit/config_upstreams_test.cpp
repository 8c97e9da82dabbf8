#include "config/load.hpp"
#include "config/show.hpp"

#include <gmock/gmock.h>

// Upstreams in the configuration.

namespace {

using namespace weir::config;
using testing::ElementsAre;
using testing::HasSubstr;

/// A document with that upstream "u", and another "backup".
std::string with_upstream(std::string const& fields) {
    return R"({"listen":[{"address":"127.0.0.1:0"}],"circuits":{"c":{},"n":{}},
              "upstreams":{"u":{"targets":["http://a","http://b"],)" +
           fields + R"(},"backup":{"targets":["http://c"],"circuit":"n"}},
              "routes":[{"name":"s","path":"/s","upstream":"backup"},{"name":"r","path":"/*","upstream":"u"}]})";
}

/// What is said of upstreams.
std::vector<std::string> upstream_complaints(std::string const& fields) {
    std::vector<std::string> all;
    for (auto const& each : load_text(with_upstream(fields)).issues)
        if (each.pointer.starts_with("/upstreams"))
            all.push_back(each.pointer + ": " + each.message);
    return all;
}

TEST(config_upstreams, an_attempt_that_may_last_as_long_as_all_of_them_is_a_contradiction) {
    EXPECT_THAT(upstream_complaints(R"("timeouts":{"per_try":"5s","total":"5s"})"),
                ElementsAre("/upstreams/u/timeouts: \"per_try\" says nothing: it is not shorter than \"total\""));
    EXPECT_THAT(upstream_complaints(R"("timeouts":{"per_try":"5s"})"), ElementsAre());
}

TEST(config_upstreams, every_field_is_read_and_shown_again) {
    auto const loaded = load_text(
        R"({"listen":[{"address":"127.0.0.1:0"}],"circuits":{"c":{},"n":{}},
            "upstreams":{"u":{"targets":["http://a","http://b"],"balance":"consistent_hash","hash_key":"header:X-Session",
                "circuit":"c","target_circuit":"n","timeouts":{"per_try":"2s","total":"5s"},
                "retries":{"attempts":3,"budget":0.1,"statuses":[502,503]},
                "health":{"path":"/healthz","interval":"2s","timeout":"1s","unhealthy_after":4,"healthy_after":3},
                "ejection":{"after":7,"for":"20s","max_share":0.3},
                "fallback":{"upstream":"backup"}},
             "backup":{"targets":["http://c"],"fallback":{"status":202,"content_type":"text/plain","body":"later"}}},
            "routes":[{"name":"r","path":"/*","upstream":"u"}]})");
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto const& u = loaded.value->upstreams.at(0);
    EXPECT_EQ(u.balance, balance::consistent_hash);
    EXPECT_EQ(u.hash_key.header, "x-session");
    EXPECT_EQ(u.circuit, 0u);
    EXPECT_EQ(u.target_circuit, 1u);
    EXPECT_EQ(u.per_try_timeout, std::chrono::seconds{2});
    EXPECT_EQ(u.total_timeout, std::chrono::seconds{5});
    EXPECT_EQ(u.retries.attempts, 3u);
    EXPECT_EQ(u.retries.budget, 0.1);
    EXPECT_THAT(u.retries.statuses, ElementsAre(502u, 503u));
    ASSERT_TRUE(u.health);
    EXPECT_EQ(u.health->path, "/healthz");
    EXPECT_EQ(u.health->interval, std::chrono::seconds{2});
    EXPECT_EQ(u.health->timeout, std::chrono::seconds{1});
    EXPECT_EQ(u.health->unhealthy_after, 4u);
    EXPECT_EQ(u.health->healthy_after, 3u);
    EXPECT_EQ(u.ejection.after, 7u);
    EXPECT_EQ(u.ejection.lasts, std::chrono::seconds{20});
    EXPECT_EQ(u.ejection.max_share, 0.3);
    EXPECT_EQ(u.fallback_upstream, 1u);
    auto const& backup = loaded.value->upstreams.at(1);
    ASSERT_TRUE(backup.fallback);
    EXPECT_EQ(backup.fallback->status, 202u);
    EXPECT_EQ(backup.fallback->content_type, "text/plain");
    EXPECT_EQ(backup.fallback->body, "later");
    auto const shown = show(*loaded.value);
    auto const again = load_text(shown.dump());
    ASSERT_TRUE(again.value) << to_string(again.issues.at(0), "shown");
    EXPECT_EQ(show(*again.value), shown);
}

TEST(config_upstreams, what_is_wrong_is_named) {
    EXPECT_THAT(upstream_complaints(R"("balance":"random")"),
                ElementsAre(HasSubstr("/upstreams/u/balance: unknown value \"random\"; known: round_robin, ")));
    EXPECT_THAT(upstream_complaints(R"("hash_key":"ip")"),
                ElementsAre(HasSubstr("/upstreams/u/hash_key: says nothing unless")));
    EXPECT_THAT(upstream_complaints(R"("retries":{"attempts":1})"),
                ElementsAre(HasSubstr("/upstreams/u/retries: one attempt is none more")));
    EXPECT_THAT(upstream_complaints(R"("retries":{"statuses":[404]})"),
                ElementsAre(HasSubstr("/upstreams/u/retries/statuses/0: must be a whole number from 500 to 599")));
    EXPECT_THAT(upstream_complaints(R"("health":{"path":"healthz"})"),
                ElementsAre(HasSubstr("/upstreams/u/health/path: must be a path that starts with \"/\"")));
    EXPECT_THAT(upstream_complaints(R"("health":{})"),
                ElementsAre(HasSubstr("/upstreams/u/health: the field \"path\" is missing")));
    EXPECT_THAT(upstream_complaints(R"("fallback":{})"), ElementsAre(HasSubstr("/upstreams/u/fallback: says nothing")));
    EXPECT_THAT(upstream_complaints(R"("fallback":{"upstream":"u"})"),
                ElementsAre(HasSubstr("/upstreams/u/fallback/upstream: this upstream itself")));
    EXPECT_THAT(upstream_complaints(R"("fallback":{"upstream":"backup","status":200})"),
                ElementsAre(HasSubstr("/upstreams/u/fallback: either another upstream, or an answer")));
    EXPECT_THAT(upstream_complaints(R"("fallback":{"upstream":"backups"})"),
                ElementsAre(HasSubstr("no upstream is called \"backups\"; did you mean \"backup\"?")));
    EXPECT_THAT(upstream_complaints(R"("tls":{})"),
                ElementsAre(HasSubstr("/upstreams/u/tls: says nothing: no target is")));
    EXPECT_THAT(upstream_complaints(R"("circuit":"c","target_circuit":"c")"),
                ElementsAre(HasSubstr("/upstreams/u/target_circuit: the same as \"circuit\"")));
}

TEST(config_upstreams, tls_is_read_and_shown_again) {
    auto const loaded = load_text(
        R"({"listen":[{"address":"127.0.0.1:1","tls":{"certificate":"c.pem","key":"k.pem"}},
                      {"address":"127.0.0.1:2","tls":[{"certificate":"a","key":"b"},{"certificate":"c","key":"d"}]}],
            "upstreams":{"u":{"targets":["https://a","https://b:8443"],
                "tls":{"ca_file":"ca.pem","server_name":"api","certificate":"mine","key":"my-key"}}},
            "routes":[{"name":"r","path":"/*","upstream":"u"}]})");
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto const& c = *loaded.value;
    ASSERT_TRUE(c.listen.at(0).tls && c.listen.at(1).tls);
    EXPECT_EQ(c.listen[0].tls->certificates.at(0).key, "k.pem");
    EXPECT_EQ(c.listen[1].tls->certificates.at(1).certificate, "c");
    auto const& u = c.upstreams.at(0);
    EXPECT_TRUE(u.targets.at(0).tls);
    EXPECT_EQ(u.targets.at(0).port, 443);
    EXPECT_EQ(u.targets.at(1).port, 8443);
    EXPECT_EQ(u.tls.ca_file, "ca.pem");
    EXPECT_EQ(u.tls.server_name, "api");
    EXPECT_TRUE(u.tls.verify);
    EXPECT_EQ(u.tls.key, "my-key");
    auto const shown = show(c);
    auto const again = load_text(shown.dump());
    ASSERT_TRUE(again.value) << to_string(again.issues.at(0), "shown");
    EXPECT_EQ(show(*again.value), shown);
}

} // namespace
