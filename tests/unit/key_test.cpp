#include <weir/key.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

using weir::key_part;

std::string part(key_part p) {
    std::string out;
    weir::append_key_part(out, p);
    return out;
}

std::string key(key_part user, key_part endpoint, weir::key_layout layout = weir::key_layout::standalone) {
    std::string out;
    weir::append_rate_key(out, "", user, endpoint, layout);
    return out;
}

TEST(key, is_rate_user_endpoint) {
    EXPECT_EQ(key("alice", "/v1/chat"), "rate:alice:/v1/chat");
    EXPECT_EQ(key("alice", "/v1/chat", weir::key_layout::cluster), "rate:{alice}:/v1/chat");
    EXPECT_EQ(key(key_part::any(), "chat"), "rate:*:chat");
    EXPECT_EQ(key("alice", key_part::any()), "rate:alice:*");
    std::string prefixed;
    weir::append_rate_key(prefixed, "staging:", "a", "b");
    EXPECT_EQ(prefixed, "staging:rate:a:b");
}

TEST(key, what_somebody_chose_never_spells_a_separator_a_wildcard_or_a_hash_tag) {
    EXPECT_EQ(part("a:b{c}*%"), "a%3Ab%7Bc%7D%2A%25");
    EXPECT_EQ(part(std::string_view("\0\n\x7f\xc3\xa9 ", 6)), "%00%0A%7F%C3%A9%20");
    EXPECT_NE(key("a:b", "c"), key("a", "b:c"));
    EXPECT_NE(key("*", "x"), key(key_part::any(), "x"));
    EXPECT_EQ(key("", ""), "rate::");
}

TEST(key, a_long_part_becomes_a_prefix_and_a_hash_of_bounded_length) {
    std::string const a(129, 'a'), b = a + "b";
    EXPECT_EQ(part(std::string(128, 'a')), std::string(128, 'a'));
    EXPECT_EQ(part(a).size(), weir::max_key_part);
    EXPECT_TRUE(part(a).starts_with(std::string(95, 'a') + "="));
    EXPECT_NE(part(a), part(b));
    EXPECT_LE(part(std::string(100000, ':')).size(), weir::max_key_part);
}

TEST(key, a_shortened_part_cannot_be_spelled_by_another_text) {
    std::string const shortened = part(std::string(200, 'a'));
    EXPECT_NE(part(shortened), shortened);
}

TEST(key, a_shortened_part_never_ends_in_half_an_escape) {
    for (std::size_t plain = 0; plain < 4; ++plain) {
        auto const text = part(std::string(plain, 'a') + std::string(200, ':'));
        auto const prefix = text.substr(0, text.find('='));
        EXPECT_EQ((prefix.size() - plain) % 3, 0u) << text;
    }
}

TEST(key, a_circuit_and_its_history_are_on_one_node) {
    std::string key, history;
    weir::append_circuit_key(key, "p:", "api/1:{x}");
    weir::append_circuit_history_key(history, "p:", "api/1:{x}");
    EXPECT_EQ(key, "p:circuit:api/1%3A%7Bx%7D");
    EXPECT_EQ(history, "p:stream:circuit:api/1%3A%7Bx%7D");
    key.clear();
    history.clear();
    weir::append_circuit_key(key, "", "api", weir::key_layout::cluster);
    weir::append_circuit_history_key(history, "", "api", weir::key_layout::cluster);
    EXPECT_EQ(key, "circuit:{api}");
    EXPECT_EQ(history, "stream:circuit:{api}");
}

} // namespace
