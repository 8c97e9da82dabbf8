#include <weir/redis/parser.hpp>
#include <weir/redis/sentinel_replies.hpp>

#include <gmock/gmock.h>

namespace weir::redis {
namespace {

using place = std::pair<std::string, std::uint16_t>;

std::string bulk(std::string_view text) {
    return '$' + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

flat_reply parsed(std::string const& wire) {
    parser from(1u << 20);
    flat_reply reply;
    from.feed(wire);
    EXPECT_EQ(from.next(&reply), parser::event::reply) << wire;
    return reply;
}

TEST(redis_sentinel_replies, reads_where_the_master_is) {
    EXPECT_EQ(read_master_address(parsed("*2\r\n" + bulk("10.0.0.1") + bulk("6379"))), place("10.0.0.1", 6379));
    EXPECT_EQ(read_master_address(parsed("*2\r\n" + bulk("2001:db8::1") + bulk("6379"))), place("2001:db8::1", 6379));
    EXPECT_EQ(read_master_address(parsed("*2\r\n" + bulk("db.example") + bulk("1"))), place("db.example", 1));
    EXPECT_FALSE(read_master_address(parsed("*-1\r\n"))) << "a name that nobody knows";
    for (auto const& wrong :
         {std::string("+OK\r\n"), std::string("*0\r\n"), "*1\r\n" + bulk("h"), "*2\r\n" + bulk("h") + ":6379\r\n",
          "*2\r\n" + bulk("") + bulk("6379"), "*2\r\n" + bulk("h") + bulk("0"), "*2\r\n" + bulk("h") + bulk("65536"),
          "*2\r\n" + bulk("h") + bulk("6379x"), "*2\r\n" + bulk("h") + bulk("-1"), "*2\r\n*0\r\n" + bulk("6379"),
          "*3\r\n" + bulk("h") + bulk("1") + bulk("2")})
        EXPECT_FALSE(read_master_address(parsed(wrong))) << wrong;
}

TEST(redis_sentinel_replies, reads_where_the_other_sentinels_are_and_leaves_out_who_does_not_tell) {
    auto const one = [](std::string const& fields, int count) { return '*' + std::to_string(count) + "\r\n" + fields; };
    auto const named = one(bulk("name") + bulk("ip") + bulk("ip") + bulk("10.0.0.1") + bulk("port") + bulk("26379"), 6);
    auto const turned = one(bulk("port") + bulk("26380") + bulk("ip") + bulk("::1"), 4);
    auto const nowhere = one(bulk("ip") + bulk("") + bulk("port") + bulk("26379"), 4);
    auto const odd = one(bulk("port") + bulk("1") + bulk("ip"), 3);
    EXPECT_THAT(read_sentinels(parsed("*4\r\n" + named + nowhere + odd + turned)),
                testing::ElementsAre(place("10.0.0.1", 26379), place("::1", 26380)));
    EXPECT_THAT(read_sentinels(parsed("*0\r\n")), testing::IsEmpty());
    EXPECT_THAT(read_sentinels(parsed("+OK\r\n")), testing::IsEmpty());
    EXPECT_THAT(read_sentinels(parsed("*3\r\n" + bulk("ip") + bulk("h") + ":1\r\n")), testing::IsEmpty());
    EXPECT_THAT(read_sentinels(parsed("*1\r\n*2\r\n*2\r\n" + bulk("ip") + bulk("h") + bulk("port"))),
                testing::IsEmpty());
}

TEST(redis_sentinel_replies, knows_a_switch_of_its_own_group) {
    EXPECT_TRUE(is_switch_of("group 10.0.0.1 6379 10.0.0.2 6379", "group"));
    EXPECT_FALSE(is_switch_of("group2 10.0.0.1 6379 10.0.0.2 6379", "group"));
    EXPECT_FALSE(is_switch_of("grou", "group"));
    EXPECT_FALSE(is_switch_of("group", "group"));
}

} // namespace
} // namespace weir::redis
