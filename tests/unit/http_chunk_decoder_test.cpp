#include <weir/http/chunk_decoder.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace std::string_literals;
using weir::http::chunk_decoder;
using state = chunk_decoder::state;

struct decoded {
    std::string body;
    state last = state::need_more;
    std::size_t consumed = 0;
    std::string_view why;
};

/// Decodes in pieces of a given size.
decoded decode(std::string const& text, std::size_t piece) {
    decoded result;
    chunk_decoder decoder;
    while (result.consumed < text.size()) {
        auto const left = std::string_view{text}.substr(result.consumed, piece);
        auto const step = decoder.next(left);
        EXPECT_LE(step.consumed, left.size());
        result.consumed += step.consumed;
        result.last = step.what;
        result.body += step.data;
        result.why = step.why.reason;
        if (step.what == state::end || step.what == state::refused)
            break;
    }
    EXPECT_EQ(decoder.done(), result.last == state::end);
    return result;
}

/// Decodes whole and in pieces of every size, and expects the same.
decoded decode(std::string const& text) {
    auto const whole = decode(text, text.size());
    for (std::size_t piece = 1; piece < text.size(); ++piece) {
        auto const other = decode(text, piece);
        EXPECT_EQ(other.body, whole.body) << text;
        EXPECT_EQ(other.consumed, whole.consumed) << text;
        EXPECT_EQ(other.why, whole.why) << text;
    }
    return whole;
}

TEST(http_chunk_decoder, gives_the_body_and_leaves_the_next_message) {
    auto const result = decode("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /");
    EXPECT_EQ(result.last, state::end);
    EXPECT_EQ(result.body, "hello world");
    EXPECT_EQ(result.consumed, 26U);
}

TEST(http_chunk_decoder, points_into_the_input) {
    std::string const text = "4\r\nabcd\r\n";
    chunk_decoder decoder;
    auto const step = decoder.next(text);
    ASSERT_EQ(step.what, state::data);
    EXPECT_EQ(step.data.data(), text.data() + 3);
    EXPECT_EQ(step.consumed, 7U);
}

TEST(http_chunk_decoder, takes_hexadecimal_sizes_and_leading_zeros) {
    EXPECT_EQ(decode("a\r\n0123456789\r\n000\r\n\r\n").body, "0123456789");
    EXPECT_EQ(decode("000A\r\n0123456789\r\n0\r\n\r\n").last, state::end);
    EXPECT_EQ(decode("00000000000000001\r\n").last, state::refused) << "17 digits";
}

TEST(http_chunk_decoder, drops_extensions) {
    for (std::string const extension :
         {";a", ";a=b", ";a=\"b;\\\"c\"", ";a;b=c;d=\"\"", ";chunk-signature=0123456789abcdef"})
        EXPECT_EQ(decode("3" + extension + "\r\nabc\r\n0" + extension + "\r\n\r\n").body, "abc") << extension;
    EXPECT_EQ(decode("3;a=" + std::string(252, 'b') + "\r\nabc\r\n0\r\n\r\n").last, state::end);
    EXPECT_EQ(decode("3;a=" + std::string(253, 'b') + "\r\nabc\r\n0\r\n\r\n").last, state::refused);
}

TEST(http_chunk_decoder, checks_and_drops_trailers) {
    auto const result = decode("0\r\nVary: *\r\nContent-Length: 7\r\nempty:\r\n\r\nrest");
    EXPECT_EQ(result.last, state::end);
    EXPECT_EQ(result.body, "");
    EXPECT_EQ(result.consumed, 41U); // all but "rest"
    std::string many = "0\r\n";
    for (int i = 0; i < 64; ++i)
        many += "A: b\r\n";
    EXPECT_EQ(decode(many + "\r\n", 100).last, state::end);
    EXPECT_EQ(decode(many + "A: b\r\n\r\n", 100).last, state::refused);
    EXPECT_EQ(decode("0\r\nA: " + std::string(8192, 'b') + "\r\n\r\n", 1000).last, state::refused);
}

TEST(http_chunk_decoder, refuses_what_is_off_the_grammar) {
    for (auto const& bad : {"0x5\r\n"s,
                            "+5\r\n"s,
                            "-5\r\n"s,
                            " 5\r\n"s,
                            "5 \r\n"s,
                            "1_0\r\n"s,
                            "\r\n"s,
                            "g\r\n"s,
                            "5;\r\n"s,
                            "5;a=\r\n"s,
                            "5;=b\r\n"s,
                            "5 ;a\r\n"s,
                            "5; a\r\n"s,
                            "5;a =b\r\n"s,
                            "5;a=\"b\r\n"s,
                            "5;a=\"b\"c\r\n"s,
                            "5;a=\"\n\"\r\n"s,
                            "5;a\n"s,
                            "5\n"s,
                            "5\rhello"s,
                            "5\r\r\n"s,
                            "5\r\nhelloX"s,
                            "5\r\nhello\n"s,
                            "5\r\nhello\rX"s,
                            "5,5\r\n"s,
                            "ffffffffffffffff\r\n"s,
                            "8000000000000000\r\n"s,
                            "10000000000000000\r\n"s,
                            "0\r\nX\r\n"s,
                            "0\r\nX : y\r\n"s,
                            "0\r\n: y\r\n"s,
                            "0\r\n X: y\r\n"s,
                            "0\r\nX: a\n"s,
                            "0\r\nX: a\r\n b\r\n"s,
                            "0\r\n\rX"s,
                            "0\r\n\n"s,
                            "0\n\n"s,
                            "0\r\nX: \0\r\n"s,
                            "5;a=\"\x01\"\r\n"s,
                            "\xff\r\n"s,
                            "5\0\r\n"s}) {
        auto const result = decode(bad);
        EXPECT_EQ(result.last, state::refused) << bad;
        EXPECT_FALSE(result.why.empty()) << bad;
    }
}

TEST(http_chunk_decoder, stays_refused) {
    chunk_decoder decoder;
    EXPECT_EQ(decoder.next("x").what, state::refused);
    auto const again = decoder.next("5\r\nhello\r\n0\r\n\r\n");
    EXPECT_EQ(again.what, state::refused);
    EXPECT_EQ(again.why.status, 400U);
    EXPECT_EQ(again.consumed, 0U);
}

TEST(http_chunk_decoder, stays_ended_until_it_is_reset) {
    chunk_decoder decoder;
    EXPECT_EQ(decoder.next("0\r\n\r\n5").what, state::end);
    EXPECT_EQ(decoder.next("5").consumed, 0U);
    decoder.reset();
    EXPECT_EQ(decoder.next("1\r\na").data, "a");
}

TEST(http_chunk_decoder, holds_a_large_chunk_without_its_bytes) {
    chunk_decoder decoder;
    EXPECT_EQ(decoder.next("7fffffffffffffff\r\n").what, state::need_more);
    std::string const part(100'000, 'x');
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(decoder.next(part).data.size(), part.size());
}

} // namespace
