#include <weir/redis/command.hpp>
#include <weir/redis/hash_slot.hpp>

#include <gtest/gtest.h>

namespace weir::redis {
namespace {

TEST(redis_hash_slot, is_the_crc_of_the_specification) {
    EXPECT_EQ(hash_slot("123456789"), 0x31c3); // the check value of CRC16/XMODEM
    EXPECT_EQ(hash_slot(""), 0);
    EXPECT_EQ(hash_slot("foo"), 12182); // as CLUSTER KEYSLOT says
    EXPECT_EQ(hash_slot(std::string("a\0b", 3)), hash_slot(std::string("{a\0b}", 5)));
}

TEST(redis_hash_slot, hashes_what_stands_in_the_first_braces_unless_that_is_nothing) {
    EXPECT_EQ(hash_slot("{user1000}.following"), hash_slot("{user1000}.followers"));
    EXPECT_EQ(hash_slot("{user1000}.following"), hash_slot("user1000"));
    EXPECT_EQ(hash_slot("foo{bar}{zap}"), hash_slot("bar"));
    EXPECT_EQ(hash_slot("foo{{bar}}zap"), hash_slot("{bar"));
    EXPECT_NE(hash_slot("foo{}{bar}"), hash_slot("bar"));
    EXPECT_NE(hash_slot("foo{bar"), hash_slot("bar"));
}

TEST(redis_hash_slot, a_command_knows_the_slot_of_its_keys) {
    script const code("code", "return 1");
    command run;
    run.evalsha(code, 2, 1).arg("{a}1").arg("{a}2").arg("b");
    EXPECT_EQ(run.key_count(), 2u);
    EXPECT_EQ(run.slot(), hash_slot("a"));
    run.clear().evalsha(code, 2, 0).arg("a").arg("b");
    EXPECT_EQ(run.slot(), std::nullopt);
    command get;
    get.start(2).arg("GET").key("some key");
    EXPECT_EQ(get.slot(), hash_slot("some key"));
    get.clear().start(1).arg("PING");
    EXPECT_EQ(get.key_count(), 0u);
}

} // namespace
} // namespace weir::redis
