#include "config/load.hpp"
#include "config/show.hpp"

#include "support/config_complaints.hpp"

#include <gmock/gmock.h>

// Locks in the configuration.

namespace {

using namespace weir::config;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using weir::test::complaints;

/// A document with that lock "s", which its route takes.
std::string with_lock(std::string const& fields, std::string const& more = {}) {
    return R"({"listen":[{"address":"127.0.0.1:0"}],)" + more + R"("locks":{"s":{)" + fields +
           R"(}},"upstreams":{"u":{"targets":["http://a"]}},
              "routes":[{"name":"r","path":"/*","upstream":"u","lock":"s"}]})";
}

TEST(config_locks, every_field_is_read_and_shown_again) {
    auto const loaded = load_text(with_lock(R"("key":"header:X-Session-Id","on_busy":"wait","wait":"10s","ttl":"5m",
                               "on_missing_key":"pass","on_redis_failure":"open")"));
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    ASSERT_EQ(loaded.value->routes.at(0).lock, 0u);
    auto const& lock = loaded.value->locks.at(0);
    EXPECT_EQ(lock.name, "s");
    EXPECT_EQ(lock.key.from, lock_key::type::header);
    EXPECT_EQ(lock.key.name, "x-session-id");
    EXPECT_EQ(lock.wait, std::chrono::seconds{10});
    EXPECT_EQ(lock.ttl, std::chrono::minutes{5});
    EXPECT_EQ(lock.on_missing_key, lock::missing_key::pass);
    EXPECT_TRUE(lock.pass_without_redis);
    EXPECT_TRUE(loaded.value->needs_redis());
    auto const shown = show(*loaded.value);
    auto const again = load_text(shown.dump());
    ASSERT_TRUE(again.value) << to_string(again.issues.at(0), "shown");
    EXPECT_EQ(show(*again.value), shown);
}

TEST(config_locks, a_key_is_enough) {
    for (auto const* key : {"user", "ip", "path", "*", "attribute:team", "header:x-a"}) {
        auto const loaded = load_text(with_lock("\"key\":\"" + std::string(key) + '"'));
        ASSERT_TRUE(loaded.value) << key;
        auto const& lock = loaded.value->locks.at(0);
        EXPECT_EQ(lock.wait.count(), 0);
        EXPECT_EQ(lock.ttl, std::chrono::seconds{30});
        EXPECT_EQ(lock.on_missing_key, lock::missing_key::reject);
        EXPECT_FALSE(lock.pass_without_redis);
    }
}

TEST(config_locks, what_makes_no_sense_is_an_error_that_names_the_field) {
    EXPECT_THAT(complaints(with_lock("")), ElementsAre(HasSubstr(R"(/locks/s: the field "key" is missing)")));
    EXPECT_THAT(complaints(with_lock(R"("key":"session")")),
                ElementsAre(HasSubstr(R"(/locks/s/key: unknown value "session"; known: header:NAME, user)")));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","on_busy":"queue")")),
                ElementsAre(R"(/locks/s/on_busy: unknown value "queue"; known: reject, wait)"));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","on_busy":"wait")")),
                ElementsAre(HasSubstr("/locks/s/on_busy: \"on_busy\": \"wait\" wants to know how long at most")));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","wait":"5s")")),
                ElementsAre(HasSubstr("/locks/s/wait: says nothing without \"on_busy\": \"wait\"")));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","on_busy":"reject","wait":"0s")")), IsEmpty());
    EXPECT_THAT(complaints(with_lock(R"("key":"user","ttl":"10ms")")), ElementsAre(HasSubstr("/locks/s/ttl: ")));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","on_redis_failure":"local")")),
                ElementsAre(HasSubstr("/locks/s/on_redis_failure: a lock cannot be held \"local\"")));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","on_missing_key":"pass")")),
                ElementsAre(HasSubstr("/locks/s/on_missing_key: says nothing with \"key\": \"user\"")));
    EXPECT_THAT(complaints(with_lock(R"("key":"user","tll":"1s")")),
                ElementsAre(HasSubstr(R"(unknown field; did you mean "ttl"?)")));
}

TEST(config_locks, references_lead_somewhere_and_locks_are_used) {
    EXPECT_THAT(complaints(R"({"listen":[{"address":"127.0.0.1:0"}],"locks":{"session":{"key":"user"}},
                               "upstreams":{"u":{"targets":["http://a"]}},
                               "routes":[{"name":"r","path":"/*","upstream":"u","lock":"sesion"}]})"),
                testing::Contains(HasSubstr(R"(/routes/0/lock: no lock is called "sesion"; did you mean "session"?)")));
    EXPECT_THAT(complaints(R"({"listen":[{"address":"127.0.0.1:0"}],"locks":{"session":{"key":"user"}},
                               "upstreams":{"u":{"targets":["http://a"]}},
                               "routes":[{"name":"r","path":"/*","upstream":"u"}]})"),
                ElementsAre("/locks/session: no route takes this lock: it protects nothing here"));
    EXPECT_THAT(complaints(with_lock(R"("key":"user")",
                                     R"("decision":{"address":"127.0.0.1:0"},"trusted_proxies":["127.0.0.1"],)")),
                ElementsAre(HasSubstr("/routes/0/lock: only requests that this proxy serves hold it")));
    EXPECT_THAT(complaints(R"({"decision":{"address":"127.0.0.1:0"},"trusted_proxies":["127.0.0.1"],
                               "locks":{"session":{"key":"user"}},"routes":[{"name":"r","path":"/*","lock":"session"}]})"),
                ElementsAre(HasSubstr("/routes/0/lock: a lock is held while this proxy serves a request")));
}

} // namespace
