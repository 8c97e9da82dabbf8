#include <weir/http/api_keys.hpp>
#include <weir/http/verified_cache.hpp>

#include <gmock/gmock.h>

#include <set>

namespace weir::http {
namespace {

using std::chrono::sys_seconds;
using testing::HasSubstr;

constexpr sys_seconds now{std::chrono::seconds{1'700'000'000}}; // 2023-11-14

std::string entry(std::string_view key, std::string const& user, std::string const& more = "") {
    return R"({"sha256":")" + hash_api_key(key) + R"(","user":")" + user + '"' + more + '}';
}
std::string file_of(std::string const& entries) { return R"({"keys":[)" + entries + "]}"; }

TEST(http_api_keys, a_hash_is_the_sha_256_of_the_bytes) {
    EXPECT_EQ(hash_api_key("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(http_api_keys, finds_whose_key_it_is_and_nobody_for_any_other) {
    api_keys const keys(file_of(entry("red-key", "alice", R"(,"attributes":{"team":"red","plan":"gold"},"name":"ci")") +
                                ',' + entry("old-key", "alice") + ',' + entry("blue-key", "bob")));
    EXPECT_EQ(keys.size(), 3u);
    auto const* alice = keys.find("red-key", now);
    ASSERT_TRUE(alice);
    EXPECT_EQ(alice->user, "alice");
    EXPECT_EQ(alice->attribute("plan"), "gold");
    EXPECT_EQ(keys.find("blue-key", now)->user, "bob");
    for (auto const* other : {"", "red-key ", "Red-key", "red-ke", "alice"})
        EXPECT_FALSE(keys.find(other, now)) << other;
    EXPECT_FALSE(keys.find(hash_api_key("red-key"), now)) << "whoever reads the file knows no key";
}

TEST(http_api_keys, a_key_ends_with_the_day_before_it_expires) {
    api_keys const keys(file_of(entry("a", "alice", R"(,"expires":"2023-11-15")") + ',' +
                                entry("b", "bob", R"(,"expires":"2023-11-14")")));
    EXPECT_TRUE(keys.find("a", now));
    EXPECT_FALSE(keys.find("b", now));
    EXPECT_FALSE(keys.find("a", sys_seconds{std::chrono::sys_days{std::chrono::year{2023} / 11 / 15}}));
}

TEST(http_api_keys, says_which_key_is_wrong_and_why) {
    auto const objection = [](std::string const& text) -> std::string {
        try {
            api_keys const made(text);
            return "";
        } catch (std::invalid_argument const& e) {
            return e.what();
        }
    };
    EXPECT_EQ(objection(file_of("")), "");
    EXPECT_THAT(objection("[]"), HasSubstr("is no JSON object"));
    EXPECT_THAT(objection(R"({"keys":[],"keys":[]})"), HasSubstr("names a member twice"));
    EXPECT_THAT(objection(R"({"key":[]})"), HasSubstr("must be {\"keys\": [...]}"));
    EXPECT_THAT(objection(file_of(entry("a", "alice") + ",{}")), HasSubstr("/keys/1: \"sha256\" must be the 64"));
    EXPECT_THAT(objection(file_of(R"({"sha256":"secret-key","user":"a"})")), HasSubstr("\"sha256\" must be the 64"));
    EXPECT_THAT(objection(file_of(entry("a", ""))), HasSubstr("\"user\" must be"));
    EXPECT_THAT(objection(file_of(entry("a", "x\\ny"))), HasSubstr("\"user\" must be"));
    EXPECT_THAT(objection(file_of(entry("a", "b", R"(,"attribute":{})"))), HasSubstr("unknown member \"attribute\""));
    EXPECT_THAT(objection(file_of(entry("a", "b", R"(,"attributes":{"team":7})"))), HasSubstr("each must be a text"));
    EXPECT_THAT(objection(file_of(entry("a", "b", R"(,"expires":"2023-02-30")"))), HasSubstr("must be a day"));
    EXPECT_THAT(objection(file_of(entry("a", "b") + ',' + entry("a", "c"))), HasSubstr("/keys/1: the same key"));
}

TEST(http_api_keys, new_keys_are_long_and_all_different) {
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) {
        auto const key = make_api_key();
        EXPECT_EQ(key.size(), 48u);
        EXPECT_TRUE(key.starts_with("weir_"));
        EXPECT_EQ(key.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), key.npos);
        seen.insert(key);
    }
    EXPECT_EQ(seen.size(), 100u);
}

TEST(http_verified_cache, knows_a_credential_until_it_expires) {
    verified_cache cache(8);
    EXPECT_FALSE(cache.find("token", now));
    cache.remember("token", {"alice", {}, now + std::chrono::seconds{5}});
    ASSERT_TRUE(cache.find("token", now + std::chrono::seconds{4}));
    EXPECT_EQ(cache.find("token", now)->user, "alice");
    EXPECT_FALSE(cache.find("token2", now));
    EXPECT_FALSE(cache.find("token", now + std::chrono::seconds{5}));
    EXPECT_EQ(cache.size(), 0u) << "what has expired is gone";
}

TEST(http_verified_cache, is_bounded_and_keeps_those_who_come_again) {
    verified_cache cache(100);
    cache.remember("regular", {"alice", {}, sys_seconds::max()});
    for (int i = 0; i < 10'000; ++i) {
        cache.remember("token" + std::to_string(i), {"user", {}, sys_seconds::max()});
        if (i % 40 == 0) {
            ASSERT_TRUE(cache.find("regular", now)) << i;
        }
        ASSERT_LE(cache.size(), 100u);
    }
    EXPECT_FALSE(cache.find("token0", now));
}

} // namespace
} // namespace weir::http
