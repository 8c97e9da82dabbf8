#include <weir/redis/parser.hpp>

#include <gtest/gtest.h>

#include <new>

namespace {

using namespace weir;
using redis::flat_reply;
using redis::parser;
using event = parser::event;

// The elements in short: depth, type, value.
std::string shape(flat_reply const& reply) {
    std::string result;
    for (auto const& node : reply.nodes()) {
        result += std::to_string(node.depth);
        switch (node.type) {
        case flat_reply::type::nil:
            result += "nil";
            break;
        case flat_reply::type::integer:
            result += ':' + std::to_string(node.value);
            break;
        case flat_reply::type::string:
            result += '"' + std::string(reply.text(node)) + '"';
            break;
        case flat_reply::type::array:
            result += '*' + std::to_string(node.value);
            break;
        case flat_reply::type::error:
            result += '-' + std::string(reply.text(node));
            break;
        }
        result += ' ';
    }
    return result;
}

constexpr std::string_view stream = "+OK\r\n:-7\r\n$5\r\nhe\r\nl\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n"
                                    "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n-ERR inner\r\n$-1\r\n-MINE some words\r\n:5\r\n";

std::vector<std::string> replies_in_pieces(std::size_t piece) {
    parser under_test(1000);
    flat_reply reply;
    std::vector<std::string> result;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
        under_test.feed(stream.substr(at, piece));
        for (auto what = under_test.next(&reply); what != event::need_more; what = under_test.next(&reply)) {
            EXPECT_NE(what, event::broken) << under_test.error_text();
            result.push_back(what == event::error_reply ? '!' + under_test.error_text() : shape(reply));
        }
    }
    return result;
}

TEST(redis_parser, gives_the_same_replies_however_the_bytes_are_cut) {
    auto const whole = replies_in_pieces(stream.size());
    EXPECT_EQ(whole, (std::vector<std::string>{"0\"OK\" ", "0:-7 ", "0\"he\r\nl\" ", "0nil ", "0nil ", "0*0 ", "0\"\" ",
                                               "0*3 1:1 1*2 2\"x\" 2-ERR inner 1nil ", "!MINE some words", "0:5 "}));
    for (std::size_t piece = 1; piece < stream.size(); ++piece)
        EXPECT_EQ(replies_in_pieces(piece), whole) << "in pieces of " << piece;
}

TEST(redis_parser, goes_on_when_nobody_waits_for_the_rest_of_a_reply) {
    parser under_test(1000);
    flat_reply reply;
    under_test.feed("*2\r\n:1\r\n");
    EXPECT_EQ(under_test.next(&reply), event::need_more);
    EXPECT_EQ(shape(reply), "0*2 1:1 ");
    under_test.feed(":2\r\n:3\r\n");
    EXPECT_EQ(under_test.next(nullptr), event::reply);
    EXPECT_EQ(shape(reply), "0*2 1:1 ") << "the sink was left alone";
    EXPECT_EQ(under_test.next(&reply), event::reply);
    EXPECT_EQ(shape(reply), "0:3 ");
}

event after(std::string_view bytes, std::size_t limit = 1000) {
    parser under_test(limit);
    flat_reply reply;
    auto what = event::need_more;
    for (; !bytes.empty() && what != event::broken; bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 100))) {
        under_test.feed(bytes.substr(0, 100));
        do
            what = under_test.next(&reply);
        while (what == event::reply);
    }
    EXPECT_EQ(what == event::broken, !under_test.error_text().empty());
    return what;
}

TEST(redis_parser, is_broken_by_what_is_not_resp) {
    EXPECT_EQ(after("HTTP/1.1 400 Bad Request\r\n"), event::broken);
    EXPECT_EQ(after(":12x\r\n"), event::broken);
    EXPECT_EQ(after("$-2\r\n"), event::broken);
    EXPECT_EQ(after("*-2\r\n"), event::broken);
    EXPECT_EQ(after("%1\r\n"), event::broken) << "RESP3";
}

TEST(redis_parser, is_broken_by_a_nesting_deeper_than_eight) {
    std::string nested;
    for (int i = 0; i < 8; ++i)
        nested += "*1\r\n";
    EXPECT_EQ(after(nested + ":1\r\n"), event::need_more);
    EXPECT_EQ(after("*1\r\n" + nested + ":1\r\n"), event::broken);
}

std::string padded(std::string_view start) {
    std::string result(start);
    result.resize(2000, 'x');
    return result;
}

TEST(redis_parser, is_broken_by_a_reply_longer_than_the_limit) {
    EXPECT_EQ(after(padded("$9223372036854775807\r\n")), event::broken);
    EXPECT_EQ(after(padded("+")), event::broken);
    std::string many = "*1000000\r\n";
    for (int i = 0; i < 1000; ++i)
        many += ":1\r\n";
    EXPECT_EQ(after(many), event::broken) << "many small elements count together";
    std::string apart;
    for (int i = 0; i < 1000; ++i)
        apart += ":1\r\n";
    EXPECT_EQ(after(apart), event::need_more) << "many small replies do not";
}

TEST(redis_parser, is_broken_by_a_sink_that_throws) {
    struct : redis::reply_sink {
        void begin() override {}
        void on_integer(std::int64_t, int) override { throw std::bad_alloc(); }
        void on_string(std::string_view, int) override {}
        void on_array(std::size_t, int) override {}
        void on_nil(int) override {}
        void on_error(std::string_view, int) override {}
        error_code finish() override { return {}; }
    } sink;
    parser under_test(1000);
    under_test.feed(":1\r\n");
    EXPECT_EQ(under_test.next(&sink), event::broken);
}

template <class Sink>
error_code into(Sink& sink, std::string_view bytes) {
    parser under_test(1000);
    under_test.feed(bytes);
    EXPECT_EQ(under_test.next(&sink), event::reply);
    return sink.finish();
}

TEST(redis_reply, integers_alone_or_in_an_array_of_the_right_size) {
    redis::int_sink<3> sink;
    EXPECT_FALSE(into(sink, ":-9223372036854775808\r\n"));
    EXPECT_EQ(sink[0], std::numeric_limits<std::int64_t>::min());
    EXPECT_FALSE(into(sink, "*3\r\n:1\r\n:2\r\n:3\r\n"));
    EXPECT_EQ(sink.size(), 3u);
    EXPECT_EQ(sink[2], 3);
    for (auto const* wrong : {"*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "$1\r\n1\r\n", "+1\r\n", "$-1\r\n", "*1\r\n$-1\r\n",
                              "*1\r\n*1\r\n:1\r\n", "*2\r\n:1\r\n-ERR x\r\n"})
        EXPECT_EQ(into(sink, wrong), errc::unexpected_reply) << wrong;
    redis::int_sink<3> exact(2);
    EXPECT_FALSE(into(exact, "*2\r\n:1\r\n:2\r\n"));
    for (auto const* wrong : {":1\r\n", "*3\r\n:1\r\n:2\r\n:3\r\n", "*0\r\n", "*-1\r\n"})
        EXPECT_EQ(into(exact, wrong), errc::unexpected_reply) << wrong;
}

TEST(redis_reply, integers_packed_into_a_string) {
    using namespace std::string_literals;
    redis::int_sink<3> sink;
    EXPECT_FALSE(into(sink, "$17\r\n\x80\0\0\0\0\0\0\1\2\xff\xff\xff\xff\xff\xff\xff\xff\r\n"s));
    ASSERT_EQ(sink.size(), 2u);
    EXPECT_EQ(sink[0], 258);
    EXPECT_EQ(sink[1], -1);
    auto const of = [](std::size_t size, char first) {
        return "$" + std::to_string(size) + "\r\n" + first + std::string(size - 1, '\1') + "\r\n";
    };
    EXPECT_FALSE(into(sink, of(25, '\x80')));
    EXPECT_EQ(into(sink, of(33, '\x80')), errc::unexpected_reply) << "more than there is room for";
    EXPECT_EQ(into(sink, of(16, '\x80')), errc::unexpected_reply);
    EXPECT_EQ(into(sink, of(17, 'a')), errc::unexpected_reply);
    EXPECT_EQ(into(sink, "*1\r\n" + of(9, '\x80')), errc::unexpected_reply);
    redis::int_sink<3> exact(2);
    EXPECT_EQ(into(exact, of(25, '\x80')), errc::unexpected_reply);
}

TEST(redis_reply, a_text_or_nil) {
    redis::string_sink sink;
    EXPECT_FALSE(into(sink, "$2\r\nab\r\n"));
    EXPECT_TRUE(sink.has_value());
    EXPECT_EQ(sink.value(), "ab");
    EXPECT_FALSE(into(sink, "$-1\r\n"));
    EXPECT_FALSE(sink.has_value());
    EXPECT_EQ(into(sink, ":1\r\n"), errc::unexpected_reply);
    EXPECT_EQ(into(sink, "*1\r\n+a\r\n"), errc::unexpected_reply);
    EXPECT_FALSE(into(sink, "+OK\r\n"));
    EXPECT_EQ(sink.value(), "OK");
}

} // namespace
