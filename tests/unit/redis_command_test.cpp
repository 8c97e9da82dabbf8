#include <weir/redis/command.hpp>

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <limits>
#include <random>
#include <vector>

namespace {

using namespace weir;
using redis::command;

// What hiredis makes of the same arguments.
std::string oracle(std::vector<std::string> const& arguments) {
    std::vector<char const*> texts;
    std::vector<std::size_t> sizes;
    for (auto const& each : arguments) {
        texts.push_back(each.data());
        sizes.push_back(each.size());
    }
    char* formatted = nullptr;
    auto const size = ::redisFormatCommandArgv(&formatted, static_cast<int>(texts.size()), texts.data(), sizes.data());
    EXPECT_GT(size, 0);
    std::string result(formatted, static_cast<std::size_t>(size));
    ::redisFreeCommand(formatted);
    return result;
}

TEST(redis_command, encodes_as_hiredis_does) {
    EXPECT_EQ(command("PING").payload(), oracle({"PING"}));
    EXPECT_EQ(command("SET", "key", std::string("a\r\n\0b", 5)).payload(), oracle({"SET", "key", {"a\r\n\0b", 5}}));
    EXPECT_EQ(command("SET", "", "").payload(), oracle({"SET", "", ""}));
    EXPECT_EQ(command("X", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max(), -1, 0u)
                  .payload(),
              oracle({"X", "-9223372036854775808", "18446744073709551615", "-1", "0"}));
}

TEST(redis_command, encodes_random_arguments_as_hiredis_does) {
    std::mt19937 random(7);
    command reused;
    for (int round = 0; round < 300; ++round) {
        std::vector<std::string> arguments(1 + random() % 12);
        for (auto& each : arguments) {
            each.resize(random() % 3 ? random() % 20 : random() % 5000);
            for (auto& byte : each)
                byte = static_cast<char>(random());
        }
        reused.clear().start(arguments.size());
        for (auto const& each : arguments) {
            EXPECT_FALSE(reused.complete());
            reused.arg(each);
        }
        EXPECT_TRUE(reused.complete());
        EXPECT_EQ(reused.payload(), oracle(arguments));
    }
}

TEST(redis_command, without_keys_has_the_slot_it_was_given_and_with_keys_theirs) {
    command what("TIME");
    EXPECT_FALSE(what.has_slot());
    EXPECT_EQ(what.at_slot(16383).slot(), 16383);
    EXPECT_TRUE(what.has_slot());
    EXPECT_EQ(what.payload(), oracle({"TIME"}));
    EXPECT_THROW(what.at_slot(16384), std::logic_error);
    EXPECT_FALSE(what.clear().has_slot());
    EXPECT_EQ(what.start(2).arg("GET").key("123456789").at_slot(1).slot(), 0x31c3);
}

TEST(redis_command, names_a_script_by_its_digest) {
    redis::script const code("answer", "return 1");
    EXPECT_EQ(code.sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"); // what SCRIPT LOAD answers
    EXPECT_EQ(redis::script("empty", "").sha1(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    command run;
    run.evalsha(code, 2, 1).arg("k1").arg("k2").arg(5);
    EXPECT_TRUE(run.complete());
    EXPECT_EQ(run.evaluated(), &code);
    EXPECT_EQ(run.payload(), oracle({"EVALSHA", code.sha1(), "2", "k1", "k2", "5"}));
    run.clear();
    EXPECT_EQ(run.evaluated(), nullptr);
    EXPECT_FALSE(run.complete());
}

TEST(redis_command, a_count_of_arguments_that_is_wrong_is_a_programmers_error) {
    EXPECT_THROW(command("PING").arg("more"), std::logic_error);
    EXPECT_THROW(command("PING").start(1), std::logic_error);
    EXPECT_THROW(command().start(0), std::logic_error);
}

} // namespace
