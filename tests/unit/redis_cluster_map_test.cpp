#include <weir/redis/cluster_map.hpp>

#include <gtest/gtest.h>

namespace weir::redis {
namespace {

using ranges = std::optional<std::vector<slot_range>>;

/// A reply as the parser would deliver it, from a little notation: integers, 'texts', ~ for nil, [ ] for arrays.
ranges read(std::string_view notation, std::string_view asked = "asked.example") {
    flat_reply reply;
    reply.begin();
    auto const value = [&](auto const& self, int depth) -> void {
        while (notation.front() == ' ')
            notation.remove_prefix(1);
        if (notation.front() == '[') {
            std::size_t size = 0;
            int nested = 0;
            bool in_word = false;
            for (std::size_t i = 1; nested >= 0; ++i) { // counts its elements
                char const c = notation[i];
                bool const starts = c != ' ' && c != ']' && !in_word;
                size += nested == 0 && starts ? 1 : 0;
                in_word = c != ' ' && c != '[' && c != ']';
                nested += c == '[' ? 1 : c == ']' ? -1 : 0;
            }
            reply.on_array(size, depth);
            notation.remove_prefix(1);
            for (; size > 0; --size)
                self(self, depth + 1);
            notation.remove_prefix(notation.find(']') + 1);
            return;
        }
        auto const word = notation.substr(0, notation.find_first_of(" ]"));
        notation.remove_prefix(word.size());
        if (word == "~")
            reply.on_nil(depth);
        else if (word.front() == '\'')
            reply.on_string(word.substr(1, word.size() - 2), depth);
        else
            reply.on_integer(std::stoll(std::string(word)), depth);
    };
    value(value, 0);
    return read_cluster_slots(reply, asked);
}

TEST(redis_cluster_map, reads_masters_and_leaves_replicas_and_what_else_is_told_out) {
    auto const map = read("[[0 5460 ['10.0.0.1' 7000 'id' ['hostname' 'a.example']] ['10.0.0.2' 7001 'id' []]] "
                          "[5461 16383 ['::1' 7002 'id' []]]]");
    ASSERT_TRUE(map);
    ASSERT_EQ(map->size(), 2u);
    EXPECT_EQ(map->at(0).first, 0);
    EXPECT_EQ(map->at(0).last, 5460);
    EXPECT_EQ(map->at(0).host, "10.0.0.1");
    EXPECT_EQ(map->at(0).port, 7000);
    EXPECT_EQ(map->at(1).host, "::1");
}

TEST(redis_cluster_map, a_node_without_a_name_is_the_one_that_was_asked_and_an_unknown_one_is_left_out) {
    auto const map = read("[[0 1 [~ 7000 'id']] [2 3 ['' 7001 'id']] [4 5 ['?' 7002 'id']]]");
    ASSERT_TRUE(map);
    ASSERT_EQ(map->size(), 2u);
    EXPECT_EQ(map->at(0).host, "asked.example");
    EXPECT_EQ(map->at(1).host, "asked.example");
    EXPECT_EQ(map->at(1).port, 7001);
}

TEST(redis_cluster_map, a_node_that_does_not_know_its_name_is_taken_by_the_address_it_tells_beside) {
    auto const map = read("[[0 1 ['?' 7000 'id' ['ip' '10.0.0.1']]] [2 3 ['?' 7001 'id' ['x' 'y' 'ip' '10.0.0.2']]] "
                          "[4 5 ['?' 7002 'id' ['ip' '']]] [6 7 ['?' 7003 'id' []]] [8 9 ['?' 7004 'id' ['ip']]] "
                          "[10 11 ['?' 7005 'id' ['x' 'ip']]] [12 13 ['?' 7006 'id' 'ip' 'h']]]");
    ASSERT_TRUE(map);
    ASSERT_EQ(map->size(), 3u);
    EXPECT_EQ(map->at(0).host, "10.0.0.1");
    EXPECT_EQ(map->at(1).host, "10.0.0.2");
    EXPECT_EQ(map->at(1).first, 2);
    EXPECT_EQ(map->at(2).host, "asked.example");
}

TEST(redis_cluster_map, refuses_what_is_no_such_reply) {
    EXPECT_TRUE(read("[]"));
    for (auto const* wrong : {"1", "'OK'", "~", "[1]", "[[0 5]]", "[[0 5 'x']]", "[[0 5 ['h']]]", "[[0 5 ['h' 'p']]]",
                              "[[0 5 [7 7000]]]", "[[-1 5 ['h' 7000]]]", "[[0 16384 ['h' 7000]]]", "[[5 4 ['h' 7000]]]",
                              "[[0 5 ['h' 0]]]", "[[0 5 ['h' 65536]]]", "[['0' 5 ['h' 7000]]]", "[[0 5 ['h' 7000]] 3]"})
        EXPECT_FALSE(read(wrong)) << wrong;
}

TEST(redis_cluster_map, reads_where_an_error_sends_a_command) {
    auto const moved = read_redirection("MOVED 3999 127.0.0.1:6381", "asked");
    ASSERT_TRUE(moved);
    EXPECT_FALSE(moved->ask);
    EXPECT_EQ(moved->slot, 3999);
    EXPECT_EQ(moved->host, "127.0.0.1");
    EXPECT_EQ(moved->port, 6381);
    auto const ask = read_redirection("ASK 16383 2001:db8::1:7000", "asked");
    ASSERT_TRUE(ask);
    EXPECT_TRUE(ask->ask);
    EXPECT_EQ(ask->host, "2001:db8::1");
    EXPECT_EQ(ask->port, 7000);
    EXPECT_EQ(read_redirection("MOVED 1 :6381", "asked")->host, "asked");
    for (auto const* wrong : {"", "MOVED", "MOVED ", "MOVED 1", "MOVED 1 ", "MOVED 1 host", "MOVED 1 host:",
                              "MOVED x h:1", "MOVED -1 h:1", "MOVED 16384 h:1", "MOVED 1 h:0", "MOVED 1 h:65536",
                              "MOVED 1 h:1x", "MOVED 1 ?:6381", "MOVED1 h:1", "TRYAGAIN Multiple keys", "MOVED :1 h"})
        EXPECT_FALSE(read_redirection(wrong, "asked")) << wrong;
}

} // namespace
} // namespace weir::redis
