#include <weir/http/json_number_reader.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>

namespace {

using namespace weir::http;

struct outcome {
    number_state state = number_state::absent;
    std::optional<std::uint64_t> value;
    bool complete = false;

    bool operator==(outcome const&) const = default;
};

void PrintTo(outcome const& what, std::ostream* out) {
    *out << "state " << static_cast<int>(what.state) << " value " << (what.value ? std::to_string(*what.value) : "none")
         << (what.complete ? " complete" : " incomplete");
}

outcome end(json_number_reader& reader) {
    bool const complete = reader.finish();
    return {reader.state(), reader.value(), complete};
}

/// What is read at `where`; the same however the text is cut in two, and byte by byte.
outcome read(std::string_view where, std::string_view text) {
    json_pointer const pointer(where);
    json_number_reader reader(pointer);
    reader.feed(text);
    auto const whole = end(reader);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        reader.reset();
        reader.feed(text.substr(0, cut));
        reader.feed(text.substr(cut));
        EXPECT_EQ(end(reader), whole) << text << " cut at " << cut;
    }
    reader.reset();
    for (char const& byte : text)
        reader.feed({&byte, 1});
    EXPECT_EQ(end(reader), whole) << text << " byte by byte";
    return whole;
}

outcome found_value(std::uint64_t value) { return {number_state::found, value, true}; }
outcome none(number_state why) { return {why, {}, true}; }

TEST(http_json_pointer, takes_the_escapes_of_rfc_6901) {
    EXPECT_TRUE(json_pointer("").steps().empty());
    EXPECT_EQ(json_pointer("/a~1b/~0~01//").steps(), (std::vector<std::string>{"a/b", "~~1", "", ""}));
    EXPECT_EQ(json_pointer("/usage/total_tokens").text(), "/usage/total_tokens");
    for (auto const* wrong : {"usage", "/~", "/~2", "/a~"})
        EXPECT_THROW(json_pointer{wrong}, std::invalid_argument) << wrong;
    std::string deep;
    for (int i = 0; i < 33; ++i)
        deep += "/a";
    EXPECT_THROW(json_pointer{deep}, std::invalid_argument);
}

TEST(http_json_number_reader, zero_is_zero_whatever_its_exponent) {
    for (auto const* text : {"0e1444", "-0e1444", "0.00E+999", "0e-1444", "[0e1444]"})
        EXPECT_EQ(read(*text == '[' ? "/0" : "", text), found_value(0)) << text;
    EXPECT_EQ(read("", "1e1444"), none(number_state::too_large));
}

TEST(http_json_number_reader, finds_the_number_at_the_pointer_and_nowhere_else) {
    constexpr auto where = "/usage/total_tokens";
    EXPECT_EQ(read(where, R"({"usage":{"total_tokens":42}})"), found_value(42));
    EXPECT_EQ(read(where, R"( { "id" : "x", "usage" : { "prompt_tokens" : 1, "total_tokens" : 42 } , "z":[1] } )"),
              found_value(42));
    EXPECT_EQ(
        read(
            where,
            R"({"total_tokens":1,"a":{"usage":{"total_tokens":2}},"usage":{"b":{"total_tokens":3},"total_tokens":4}})"),
        found_value(4));
    EXPECT_EQ(read(where, R"({"s":"{\"usage\":{\"total_tokens\":1}}"})"), none(number_state::absent));
    EXPECT_EQ(read(where, R"({"usage":[{"total_tokens":1}]})"), none(number_state::absent));
    EXPECT_EQ(read(where, R"([{"usage":{"total_tokens":1}}])"), none(number_state::absent));
    EXPECT_EQ(read(where, R"({"usag":1,"usagee":{"total_tokens":1},"usage":{"total_token":1,"total_tokenss":2}})"),
              none(number_state::absent));
    EXPECT_EQ(read(where, R"({"us\u0061ge":{"total\u005ftokens":7}})"), found_value(7));
    EXPECT_EQ(read("", "12 "), found_value(12));
    EXPECT_EQ(read("/", R"({"":3})"), found_value(3));
    EXPECT_EQ(read("/a~1b", R"({"a/b":3})"), found_value(3));
}

TEST(http_json_number_reader, counts_in_arrays) {
    EXPECT_EQ(read("/0", "[5]"), found_value(5));
    EXPECT_EQ(read("/1/2", "[[1,2,3],[4,5,6],[7,8,9]]"), found_value(6));
    EXPECT_EQ(read("/10", "[0,1,2,3,4,5,6,7,8,9,10]"), found_value(10));
    EXPECT_EQ(read("/a/1/b", R"({"a":[{"b":1},{"c":{"b":5},"b":2},{"b":3}]})"), found_value(2));
    EXPECT_EQ(read("/1", R"({"1":4})"), found_value(4));
    for (auto const* off : {"/01", "/-", "/3", "/x", "/1x", "/", "/99999999999999999999"})
        EXPECT_EQ(read(off, "[1,2,3]"), none(number_state::absent)) << off;
}

TEST(http_json_number_reader, the_last_of_a_key_that_stands_twice_counts) {
    EXPECT_EQ(read("/a", R"({"a":1,"a":2})"), found_value(2));
    EXPECT_EQ(read("/a/b", R"({"a":{"b":1},"a":{}})"), none(number_state::absent));
    EXPECT_EQ(read("/a/b", R"({"a":{"b":1},"a":{"b":null}})"), none(number_state::no_number));
    EXPECT_EQ(read("/a/b", R"({"a":{"b":"x"},"a":{"b":3}})"), found_value(3));
}

TEST(http_json_number_reader, takes_numbers_as_it_says) {
    auto const at = [](std::string const& number) { return read("/n", "{\"n\":" + number + "}"); };
    for (auto const* twelve : {"12", "12.0", "1.2e1", "1.2E+1", "120e-1", "12.000"})
        EXPECT_EQ(at(twelve), found_value(12)) << twelve;
    EXPECT_EQ(at("0"), found_value(0));
    EXPECT_EQ(at("-0"), found_value(0));
    EXPECT_EQ(at("-0.0"), found_value(0));
    EXPECT_EQ(at("0.1"), found_value(1));
    EXPECT_EQ(at("1.000000001"), found_value(2));
    EXPECT_EQ(at("1e-300"), found_value(1));
    EXPECT_EQ(at("9007199254740992"), found_value(9007199254740992ULL));
    for (auto const* large : {"9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615",
                              "18446744073709551616", "1e16", "1e300"})
        EXPECT_EQ(at(large), none(number_state::too_large)) << large;
    for (auto const* negative : {"-1", "-0.5", "-1e300", "-9223372036854775808", "-9223372036854775809"})
        EXPECT_EQ(at(negative), none(number_state::negative)) << negative;
    for (auto const* other : {"\"12\"", "null", "true", "false", "{}", "[]", "[12]", "{\"n\":12}"})
        EXPECT_EQ(at(other), none(number_state::no_number)) << other;
}

TEST(http_json_number_reader, what_is_no_json_or_cut_off_is_not_complete_and_what_was_read_stays) {
    auto const incomplete = [](std::string_view text) {
        auto const got = read("/n", text);
        EXPECT_FALSE(got.complete) << text;
        return got.value;
    };
    for (auto const* none : {"", " ", "{", "{\"n\"", "{\"n\":", "{\"n\":1", "{\"n\":12", "{\"n\":12,", "x", "{n:1}",
                             "{\"n\":+1}", "{\"n\":01}", "{\"n\":.5}", "{\"n\":NaN}", "[DONE]", "{'n':1}"})
        EXPECT_EQ(incomplete(none), std::nullopt) << none;
    EXPECT_EQ(incomplete("{\"n\":12,\"m\""), 12U); // cut behind it
    EXPECT_EQ(incomplete("{\"n\":12} x"), 12U);
    EXPECT_EQ(incomplete("{\"n\":12}{\"n\":13}"), 12U);
}

TEST(http_json_number_reader, nests_to_256_and_no_deeper) {
    auto const nested = [](std::size_t depth) {
        return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + ",\"n\":7}";
    };
    json_pointer const pointer("/n");
    json_number_reader reader(pointer);
    reader.feed(nested(256));
    EXPECT_TRUE(reader.finish());
    EXPECT_EQ(reader.value(), 7U);
    reader.reset();
    reader.feed(nested(257));
    EXPECT_FALSE(reader.finish());
    EXPECT_TRUE(reader.malformed());
    EXPECT_EQ(reader.value(), std::nullopt);
}

TEST(http_json_number_reader, passes_over_bytes_that_are_no_utf8) {
    EXPECT_EQ(read("/n", "{\"s\":\"\xff\xc3\",\"n\":1}"), found_value(1));
}

} // namespace
