#include <weir/http/canonical_target.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace std::string_literals;
using namespace weir::http;

struct canonical : canonical_target {
    explicit canonical(std::string_view target) { good = canonicalize(target, *this, why); }

    bool good;
    refusal why;
};

TEST(http_canonical_target, leaves_a_canonical_target_alone) {
    canonical const target{"/v1/chat/a-b_c.d~e!$&'()*+,=:@?x=%2F&y"};
    ASSERT_TRUE(target.good);
    EXPECT_EQ(target.path, "/v1/chat/a-b_c.d~e!$&'()*+,=:@");
    EXPECT_EQ(target.key, target.path);
    EXPECT_TRUE(target.has_query);
    EXPECT_EQ(target.query, "x=%2F&y");
    EXPECT_FALSE(canonical("/a").has_query);
    EXPECT_TRUE(canonical("/a?").has_query);
}

TEST(http_canonical_target, gives_every_spelling_of_a_path_one_key) {
    for (std::string const spelling :
         {"/v1/chat",        "/v1/chat/",    "//v1/chat",  "/v1//chat",        "/v1///chat//",
          "/./v1/chat",      "/v1/./chat",   "/v1/chat/.", "/v1/x/../chat",    "/x/../v1/chat",
          "/v1/chat/x/..",   "/%76%31/chat", "/v1/%63hat", "/v1/%2e/chat",     "/v1/x/%2E%2e/chat",
          "/v1/x/.%2e/chat", "/V1/Chat",     "/v1/%43hat", "/v1;a=b/chat",     "/v1/chat;jsessionid=1",
          "/v1/chat%3Bx",    "/v1/chat?x=y", "/v1/chat/?", "http://a/v1/chat", "HTTPS://a:1//v1/chat",
          "/v1/chat;x/",     "/v1;/chat;"}) {
        canonical const target{spelling};
        EXPECT_TRUE(target.good) << spelling << ": " << target.why.reason;
        EXPECT_EQ(target.key, "/v1/chat") << spelling;
    }
    EXPECT_EQ(canonical("/a%21%24%40").key, canonical("/a!$@").key);
    EXPECT_EQ(canonical("/a\"b").key, canonical("/a%22b").key);
    EXPECT_EQ(canonical("/a|b^c`{d}").key, canonical("/a%7cb%5Ec%60%7bd%7D").key);
    EXPECT_EQ(canonical("/%c3%a9").key, canonical("/%C3%A9").key);
}

TEST(http_canonical_target, sends_the_upstream_the_path_without_its_detours) {
    EXPECT_EQ(canonical("//a/./b/../C;x=1/%7e%21%3b/").path, "/a/C;x=1/~%21%3B/");
    EXPECT_EQ(canonical("/a/b/..").path, "/a/");
    EXPECT_EQ(canonical("/a/.").path, "/a/");
    EXPECT_EQ(canonical("/a/..").path, "/");
    EXPECT_EQ(canonical("/").path, "/");
    EXPECT_EQ(canonical("//").path, "/");
    EXPECT_EQ(canonical("/").key, "/");
    EXPECT_EQ(canonical("/a b").good, false);
    EXPECT_EQ(canonical("/a%20b").path, "/a%20b");
    EXPECT_EQ(canonical("/100%25").path, "/100%25");
    EXPECT_EQ(canonical("/.well-known/x").path, "/.well-known/x");
    EXPECT_EQ(canonical("/...").path, "/...");
    EXPECT_EQ(canonical("http://a").path, "/");
    EXPECT_EQ(canonical("http://a?b=c").path, "/");
    EXPECT_EQ(canonical("http://a?b=c").query, "b=c");
    EXPECT_EQ(canonical("*").path, "*");
}

TEST(http_canonical_target, is_a_fixed_point) {
    for (std::string const& target :
         {"/a/../%7e/c;x/"s, "/a//q%3b%21%c3%a9/.%2e/x;y=z"s, "/%22\"<>/Q/"s, "/a/b/c/../../"s}) {
        canonical const once{target};
        ASSERT_TRUE(once.good) << target;
        canonical const twice{once.path};
        ASSERT_TRUE(twice.good) << target;
        EXPECT_EQ(twice.path, once.path) << target;
        EXPECT_EQ(twice.key, once.key) << target;
    }
}

TEST(http_canonical_target, refuses_what_has_no_safe_meaning) {
    for (std::string const& bad : {"/a%2fb"s,
                                   "/a%2Fb"s,
                                   "/a\\b"s,
                                   "/a%5cb"s,
                                   "/a%00"s,
                                   "/a%0d%0aX"s,
                                   "/a%7f"s,
                                   "/a%252e"s,
                                   "/a%252f"s,
                                   "/a%25%32%66"s,
                                   "/a%%32%65"s,
                                   "/a%2"s,
                                   "/a%"s,
                                   "/a%zz"s,
                                   "/a%u0041"s,
                                   "/.."s,
                                   "/a/../.."s,
                                   "/%2e%2e/a"s,
                                   "/a/..;/b"s,
                                   "/a/.;x/b"s,
                                   "/a/%2e%2e;x"s,
                                   "/a/;x/b"s,
                                   "/;"s,
                                   "/a#b"s,
                                   "/a?b#c"s,
                                   "/a\x80"s,
                                   "/a?\xff"s,
                                   "/a\tb"s,
                                   "/a?b c"s,
                                   "foo"s,
                                   ""s,
                                   "ftp://a/"s,
                                   "http://u@a/"s,
                                   "/%c0%af"s,
                                   "/%c0%ae%c0%ae/"s,
                                   "/%e0%80%af"s,
                                   "/%f0%80%80%af"s,
                                   "?x"s,
                                   "/a/..%3bx/b"s,
                                   "/a\0b"s}) {
        canonical const target{bad};
        EXPECT_FALSE(target.good) << bad << " -> " << target.path;
        EXPECT_EQ(target.why.status, 400U) << bad;
        EXPECT_FALSE(target.why.reason.empty()) << bad;
    }
}

TEST(http_canonical_target, reuses_the_object_without_remembering) {
    canonical_target target;
    refusal why;
    ASSERT_TRUE(canonicalize("/a/b?c", target, why));
    ASSERT_TRUE(canonicalize("/d", target, why));
    EXPECT_EQ(target.path, "/d");
    EXPECT_EQ(target.key, "/d");
    EXPECT_EQ(target.query, "");
    EXPECT_FALSE(target.has_query);
}

TEST(http_canonical_target, matches_patterns) {
    auto const match = [](std::string_view pattern, std::string_view target) {
        std::string key;
        bool prefix = false;
        refusal why;
        EXPECT_TRUE(canonicalize_pattern(pattern, key, prefix, why)) << pattern;
        return matches(canonical(target).key, key, prefix);
    };
    EXPECT_TRUE(match("/*", "/"));
    EXPECT_TRUE(match("/*", "/a/b"));
    EXPECT_TRUE(match("/v1/chat/*", "/v1/chat/x"));
    EXPECT_TRUE(match("/v1/chat/*", "/v1/chat"));
    EXPECT_TRUE(match("/v1/chat/*", "/V1/Chat/"));
    EXPECT_FALSE(match("/v1/chat/*", "/v1/chatter"));
    EXPECT_FALSE(match("/v1/chat/*", "/v1"));
    EXPECT_TRUE(match("/v1/chat*", "/v1/chatter"));
    EXPECT_TRUE(match("/V1/Chat", "/v1/chat/"));
    EXPECT_FALSE(match("/v1/chat", "/v1/chat/x"));
    EXPECT_TRUE(match("/", "/"));
    EXPECT_FALSE(match("/", "/a"));
    std::string key;
    bool prefix = false;
    refusal why;
    for (std::string_view bad : {"", "a", "/a?b", "/a%2f", "/../a", "*", "http://a/"})
        EXPECT_FALSE(canonicalize_pattern(bad, key, prefix, why)) << bad;
}

} // namespace
