#include <weir/error.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

using weir::errc;
using weir::kind;

TEST(error, every_code_has_a_word_and_a_message_of_its_own) {
    std::set<std::string> words, messages;
    for (int value = 1; value < weir::errc_count; ++value) {
        auto const code = static_cast<errc>(value);
        EXPECT_NE(to_string(code), "unknown") << value;
        EXPECT_TRUE(words.emplace(to_string(code)).second) << to_string(code);
        EXPECT_TRUE(messages.insert(weir::error_code{code}.message()).second) << to_string(code);
    }
}

TEST(error, not_sent_and_outcome_unknown_are_told_apart) {
    EXPECT_TRUE(weir::error_code{errc::timed_out_unsent} == kind::not_sent);
    EXPECT_FALSE(weir::error_code{errc::timed_out_unsent} == kind::outcome_unknown);
    EXPECT_TRUE(weir::error_code{errc::timed_out} == kind::outcome_unknown);
    EXPECT_FALSE(weir::error_code{errc::timed_out} == kind::not_sent);
    EXPECT_TRUE(weir::error_code{errc::no_auth} == kind::authentication);
    EXPECT_TRUE(weir::error_code{errc::no_auth} == kind::refused);
    EXPECT_FALSE(weir::error_code{} == kind::refused);
    EXPECT_TRUE(weir::error_code{errc::circuit_open} == kind::rejected);
    EXPECT_TRUE(weir::error_code{errc::throttled} == kind::rejected);
    EXPECT_FALSE(weir::error_code{errc::tls_failed} == kind::rejected);
}

TEST(error, replies_of_a_real_server_map_to_their_codes) {
    EXPECT_EQ(weir::error_of_reply("NOSCRIPT No matching script. Please use EVAL."), errc::no_script);
    EXPECT_EQ(weir::error_of_reply("WRONGPASS invalid username-password pair or user is disabled."),
              errc::wrong_password);
    EXPECT_EQ(weir::error_of_reply("OOM command not allowed when used memory > 'maxmemory'."), errc::out_of_memory);
    EXPECT_EQ(weir::error_of_reply("ERR max number of clients reached"), errc::max_clients);
    EXPECT_EQ(weir::error_of_reply("ERR unknown command 'FOO'"), errc::server_error);
    EXPECT_EQ(weir::error_of_reply(""), errc::server_error);
}

} // namespace
