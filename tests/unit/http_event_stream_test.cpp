#include <weir/http/event_stream.hpp>

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using weir::http::event_stream;

struct collector {
    std::vector<std::string> events;
    std::string data;

    void on_data(std::string_view part) { data += part; }
    void on_event() {
        events.push_back(data);
        data.clear();
    }
};

/// The data of the events; the same however the stream is cut in two, and byte by byte.
std::vector<std::string> events_of(std::string_view text) {
    event_stream stream;
    collector whole;
    stream.feed(text, whole);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        stream.reset();
        collector parts;
        stream.feed(text.substr(0, cut), parts);
        stream.feed(text.substr(cut), parts);
        EXPECT_EQ(parts.events, whole.events) << "cut at " << cut;
    }
    stream.reset();
    collector bytes;
    for (char const& byte : text)
        stream.feed({&byte, 1}, bytes);
    EXPECT_EQ(bytes.events, whole.events) << "byte by byte";
    return whole.events;
}

TEST(http_event_stream, an_event_is_its_data_lines_joined_and_ends_with_an_empty_line) {
    EXPECT_THAT(events_of("data: one\n\ndata: two\ndata: lines\n\n"), ElementsAre("one", "two\nlines"));
    EXPECT_THAT(events_of("event: x\nid: 7\nretry: 9\ndata: a\n: comment\n\n"), ElementsAre("a"));
    EXPECT_THAT(events_of("event: x\n\n:\n\n\n\ndata: a\n\n"), ElementsAre("a")); // without data it is none
}

TEST(http_event_stream, any_of_the_three_line_ends_ends_a_line) {
    for (std::string const end : {"\n", "\r", "\r\n"})
        EXPECT_THAT(events_of("data: a" + end + "data: b" + end + end + "data: c" + end + end),
                    ElementsAre("a\nb", "c"));
    EXPECT_THAT(events_of("data: a\r\n\ndata: b\n\r\ndata: c\r\rdata: d\n\r"), ElementsAre("a", "b", "c", "d"));
}

TEST(http_event_stream, one_space_behind_the_colon_is_none_of_the_data) {
    EXPECT_THAT(events_of("data:a\n\n"), ElementsAre("a"));
    EXPECT_THAT(events_of("data:  a \n\n"), ElementsAre(" a "));
    EXPECT_THAT(events_of("data:\n\n"), ElementsAre(""));
    EXPECT_THAT(events_of("data\n\n"), ElementsAre(""));
    EXPECT_THAT(events_of("data\ndata\n\n"), ElementsAre("\n")); // the example of the standard
    EXPECT_THAT(events_of("data: \ndata:x\n\n"), ElementsAre("\nx"));
    EXPECT_THAT(events_of("data:a:b: c\n\n"), ElementsAre("a:b: c"));
}

TEST(http_event_stream, names_are_compared_exactly) {
    EXPECT_THAT(events_of("Data: a\n\n"), IsEmpty());
    EXPECT_THAT(events_of(" data: a\n\n"), IsEmpty());
    EXPECT_THAT(events_of("dat: a\ndataa: b\ndata : c\nd\n\n"), IsEmpty());
    EXPECT_THAT(events_of(":data: a\n\n"), IsEmpty());
}

TEST(http_event_stream, a_bom_at_the_begin_is_passed_over_and_elsewhere_not) {
    EXPECT_THAT(events_of("\xef\xbb\xbf"
                          "data: a\n\n"),
                ElementsAre("a"));
    EXPECT_THAT(events_of("\xef\xbb\xbf\ndata: a\n\n"), ElementsAre("a"));
    EXPECT_THAT(events_of("\xef\xbb"
                          "data: a\n\n"),
                IsEmpty());
    EXPECT_THAT(events_of("\n\xef\xbb\xbf"
                          "data: a\n\n"),
                IsEmpty());
}

TEST(http_event_stream, an_event_that_is_cut_off_is_none) {
    EXPECT_THAT(events_of("data: a\n\ndata: b\n"), ElementsAre("a"));
    EXPECT_THAT(events_of("data: a"), IsEmpty());
}

} // namespace
