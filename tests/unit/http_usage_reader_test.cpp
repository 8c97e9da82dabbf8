#include <weir/http/usage_reader.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace weir::http;

class usage : public testing::Test {
protected:
    /// A reader that has begun with a response of those field lines.
    usage_reader& start(std::string_view fields) {
        text_ = "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n";
        EXPECT_EQ(parse_response_head(text_, {}, boost::beast::http::verb::post, head_).state, parse_state::complete);
        reader_.start(head_);
        return reader_;
    }

    usage_state state_of(std::string_view fields, std::string_view body) {
        auto& reader = start(fields);
        reader.feed(body);
        reader.finish();
        return reader.state();
    }

    static constexpr auto json = "Content-Type: application/json\r\n";
    static constexpr auto events = "Content-Type: text/event-stream; charset=utf-8\r\n";

    json_pointer pointer_{"/usage/total_tokens"};
    usage_reader reader_{pointer_};
    std::string text_;
    response_head head_;
};

TEST_F(usage, is_read_from_a_json_body_as_it_comes) {
    for (auto const* type : {"application/json", "Application/JSON; charset=utf-8", "application/problem+json"}) {
        auto& reader = start("Content-Type: " + std::string(type) + "\r\n");
        reader.feed(R"({"usage":{"total_)");
        EXPECT_EQ(reader.value(), std::nullopt);
        reader.feed(R"(tokens":17},)"); // its end is seen
        EXPECT_EQ(reader.value(), 17U);
        reader.feed("\"id\":1}");
        reader.finish();
        EXPECT_EQ(reader.value(), 17U);
        EXPECT_EQ(reader.state(), usage_state::found);
    }
}

TEST_F(usage, is_that_of_the_last_event_that_has_one) {
    std::string const stream = "data: {\"choices\":[{\"delta\":\"{\\\"usage\\\"\"}],\"usage\":null}\n\n"
                               "data: {\"usage\":{\"total_tokens\":10}}\n\n"
                               "event: x\r\ndata: {\"usage\":\r\ndata: {\"total_tokens\":25}}\r\n\r\n"
                               "data: {\"choices\":[]}\n\n"
                               "data: [DONE]\n\n";
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        auto& reader = start(events);
        reader.feed(std::string_view(stream).substr(0, cut));
        reader.feed(std::string_view(stream).substr(cut));
        reader.finish();
        ASSERT_EQ(reader.value(), 25U) << cut;
    }
}

TEST_F(usage, of_a_stream_that_breaks_off_is_what_was_seen) {
    auto& reader = start(events);
    reader.feed("data: {\"usage\":{\"total_tokens\":10}}\n\ndata: {\"usage\":{\"total_tokens\":99}}\n");
    reader.finish();
    EXPECT_EQ(reader.value(), 10U); // the second event is not complete
    auto& other = start(json);
    other.feed("{\"usage\":{\"total_tokens\":10");
    other.finish();
    EXPECT_EQ(other.value(), std::nullopt); // 10, or the begin of 100
    EXPECT_EQ(other.state(), usage_state::incomplete);
}

TEST_F(usage, that_is_not_there_has_a_reason) {
    EXPECT_EQ(state_of(json, "{}"), usage_state::absent);
    EXPECT_EQ(state_of(json, "{\"usage\":{\"total_tokens\":\"7\"}}"), usage_state::no_number);
    EXPECT_EQ(state_of(json, "{\"usage\":{\"total_tokens\":-7}}"), usage_state::negative);
    EXPECT_EQ(state_of(json, "{\"usage\":{\"total_tokens\":1e99}}"), usage_state::too_large);
    EXPECT_EQ(state_of(json, "{\"usage\":"), usage_state::incomplete);
    EXPECT_EQ(state_of(json, "<html>"), usage_state::malformed);
    EXPECT_EQ(state_of(json, ""), usage_state::incomplete);
    EXPECT_EQ(state_of(events, "data: {}\n\n"), usage_state::absent);
    EXPECT_EQ(state_of(events, "data: {\"usage\":{\"total_tokens\":[]}}\n\ndata: [DONE]\n\n"), usage_state::no_number);
    for (auto const* type :
         {"", "Content-Type: text/html\r\n", "Content-Type: +json\r\n", "Content-Type: text/event-streams\r\n"})
        EXPECT_EQ(state_of(type, "{\"usage\":{\"total_tokens\":7}}"), usage_state::other_type) << type;
    EXPECT_EQ(to_string(usage_state::encoded), "encoded");
}

TEST_F(usage, under_a_content_coding_is_not_read) {
    for (auto const* coding : {"gzip", "br", "identity, gzip", "zstd"})
        EXPECT_EQ(
            state_of(std::string(json) + "Content-Encoding: " + coding + "\r\n", "{\"usage\":{\"total_tokens\":7}}"),
            usage_state::encoded)
            << coding;
    EXPECT_EQ(state_of(std::string(json) + "Content-Encoding: identity\r\n", "{\"usage\":{\"total_tokens\":7}}"),
              usage_state::found);
}

TEST_F(usage, of_one_response_is_forgotten_with_the_next) {
    EXPECT_EQ(state_of(json, "{\"usage\":{\"total_tokens\":7}}"), usage_state::found);
    EXPECT_EQ(state_of(json, "{\"usage\":{}}"), usage_state::absent);
    EXPECT_EQ(reader_.value(), std::nullopt);
}

} // namespace
