#include <weir/rate_limit/check_script.hpp>

#include <gtest/gtest.h>

namespace weir {
namespace {

using namespace std::chrono_literals;

rule named(std::string name, std::uint64_t limit, std::chrono::milliseconds window = 1s) {
    return {.name = std::move(name), .limit = limit, .window = window};
}

check_request request_of(std::vector<charge> const& charges) {
    check_request request;
    EXPECT_FALSE(request.assign(charges, "p:", key_layout::standalone));
    return request;
}

/// What the request makes of a reply; several integers come as an array.
error_code decode(check_request const& request, std::vector<std::int64_t> const& numbers, decision& result) {
    check_reply reply;
    reply.begin();
    if (numbers.size() != 1)
        reply.on_array(numbers.size(), 0);
    for (auto const each : numbers)
        reply.on_integer(each, numbers.size() == 1 ? 0 : 1);
    EXPECT_FALSE(reply.finish());
    return request.decode(reply, result);
}

std::string big_endian(std::uint64_t value, int bytes) {
    std::string text;
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        text += static_cast<char>(value >> shift & 0xff);
    return text;
}

TEST(check_request, packs_its_rules_into_one_argument_behind_their_keys) {
    auto const log = named("log", 100), counters = named("counters", 70'000, 60s);
    auto const request = request_of({{&log, "u", "e", 3}, {&counters, "u", key_part::any(), 1}});
    ASSERT_EQ(request.key_count(), 2u);
    EXPECT_EQ(request.key(0), "p:rate:u:e");
    EXPECT_EQ(request.key(1), "p:rate:u:*");
    redis::command encoded;
    request.encode(encoded);
    // Key index, algorithm, flags, rule id, limit, window and unit in microseconds, rate, cost.
    auto const packed = big_endian(1, 1) + big_endian(1, 1) + big_endian(0, 1) + big_endian(rule_id(log), 4) +
                        big_endian(100, 6) + big_endian(1'000'000, 6) + big_endian(1, 6) + big_endian(0, 6) +
                        big_endian(3, 7) + big_endian(2, 1) + big_endian(36, 1) + big_endian(0, 1) +
                        big_endian(rule_id(counters), 4) + big_endian(70'000, 6) + big_endian(60'000'000, 6) +
                        big_endian(1'500'000, 6) + big_endian(0, 6) + big_endian(1, 7);
    ASSERT_EQ(packed.size(), 76u);
    EXPECT_EQ(encoded.payload(), "*6\r\n$7\r\nEVALSHA\r\n$40\r\n" + rate_check_script().sha1() +
                                     "\r\n$1\r\n2\r\n$10\r\np:rate:u:e\r\n$10\r\np:rate:u:*\r\n$76\r\n" + packed +
                                     "\r\n");
}

TEST(check_request, spells_a_key_once_for_all_its_rules) {
    auto const a = named("a", 1), b = named("b", 2);
    auto const request = request_of({{&a, "u", "e"}, {&b, "u", "e"}, {&a, "u", "other"}});
    EXPECT_EQ(request.key_count(), 2u);
    EXPECT_EQ(request.items()[0].key, request.items()[1].key);
    EXPECT_NE(request.items()[0].key, request.items()[2].key);
}

TEST(check_request, reads_an_admission_of_one_rule_and_of_several) {
    auto const a = named("a", 10), b = named("b", 100);
    decision result;
    ASSERT_FALSE((decode(request_of({{&a, "u", "e"}}), {7}, result)));
    EXPECT_TRUE(result.allowed);
    EXPECT_EQ(result.rules.at(0).remaining, 7u);
    EXPECT_EQ(result.rules.at(0).reset_after, 1s);
    ASSERT_FALSE((decode(request_of({{&a, "u", "e"}, {&b, "u", "e"}}), {7, 20}, result)));
    EXPECT_TRUE(result.allowed);
    EXPECT_EQ(result.binding, 1u) << "20 of 100 are a smaller share than 7 of 10";
}

TEST(check_request, reads_a_refusal_and_rounds_its_times_up_to_milliseconds) {
    auto const a = named("a", 10), b = named("b", 100);
    decision result;
    ASSERT_FALSE(
        (decode(request_of({{&a, "u", "e"}, {&b, "u", "e"}}), {0, 5, 0, 400'001, 0, 999'001, 999'999}, result)));
    EXPECT_FALSE(result.allowed);
    EXPECT_EQ(result.binding, 1u);
    EXPECT_EQ(result.retry_after, 1000ms);
    EXPECT_TRUE(result.rules[0].allowed);
    EXPECT_EQ(result.rules[0].reset_after, 401ms);
    ASSERT_FALSE((decode(request_of({{&a, "u", "e", 11}}), {0, 10, -1, 0}, result)));
    EXPECT_EQ(result.retry_after, never);
}

TEST(check_request, refuses_replies_that_cannot_be_one) {
    auto const a = named("a", 10), b = named("b", 100);
    auto const one = request_of({{&a, "u", "e"}});
    auto const two = request_of({{&a, "u", "e"}, {&b, "u", "e"}});
    decision result;
    for (auto const& numbers : std::vector<std::vector<std::int64_t>>{
             {-1}, {0, 5}, {2, 5, 0, 0}, {-1, 5, 0, 0}, {0, -5, 1, 1}, {0, 5, -2, 0}, {1, 5, 7, 7}, {0, 5, 0, 0}})
        EXPECT_EQ(decode(one, numbers, result), errc::unexpected_reply) << testing::PrintToString(numbers);
    for (auto const& numbers : std::vector<std::vector<std::int64_t>>{{5}, {5, 5, 5}, {0, 5, 0, 0}})
        EXPECT_EQ(decode(two, numbers, result), errc::unexpected_reply) << testing::PrintToString(numbers);
}

TEST(check_request, is_split_by_slot_on_a_cluster_and_reads_the_receipts) {
    auto const a = named("a", 10), b = named("b", 100);
    check_request request;
    ASSERT_FALSE(
        (request.assign(std::vector<charge>{{&a, "u", "e", 2}, {&b, key_part::any(), "e", 1}, {&b, "u", "other", 0}},
                        "", key_layout::cluster)));
    auto const slots = request.slots();
    ASSERT_EQ(slots.size(), 2u);
    redis::command part;
    request.encode(part, {.slot = slots[0]});
    EXPECT_EQ(part.slot(), slots[0]);
    EXPECT_EQ(part.key_count(), 2u);
    EXPECT_TRUE(part.complete());
    request.encode_refund(part, slots[1], 1'700'000'000'000'000);
    EXPECT_EQ(part.slot(), slots[1]);
    EXPECT_EQ(part.key_count(), 1u);

    auto const read = [&](std::vector<std::int64_t> const& numbers, std::size_t slot, decision& out,
                          std::int64_t& receipt) {
        check_reply reply;
        reply.begin();
        reply.on_array(numbers.size(), 0);
        for (auto const each : numbers)
            reply.on_integer(each, 1);
        EXPECT_FALSE(reply.finish());
        return request.decode(reply, {.slot = slots[slot]}, out, receipt);
    };
    decision out;
    out.rules.resize(3);
    std::int64_t receipt = 0;
    EXPECT_FALSE(read({1, 77, 8, 0, 0, 100, 0, 0}, 0, out, receipt));
    EXPECT_EQ(receipt, 77);
    EXPECT_EQ(out.rules[0].remaining, 8u);
    EXPECT_EQ(out.rules[2].remaining, 100u);
    EXPECT_FALSE(read({0, 78, 0, 5000, 6000}, 1, out, receipt));
    EXPECT_EQ(receipt, 0) << "a refusal has charged nothing";
    EXPECT_EQ(out.rules[1].retry_after, 5ms);
    for (auto const& wrong : std::vector<std::vector<std::int64_t>>{
             {1, 77, 8, 0, 0}, {0, 77, 8, 0, 0, 100, 0, 0}, {1, 0, 8, 0, 0, 100, 0, 0}, {1, 77, 8, 0, 0, 100, 0, 0, 1}})
        EXPECT_EQ(read(wrong, 0, out, receipt), errc::unexpected_reply) << testing::PrintToString(wrong);
}

TEST(check_request, is_used_again_without_a_trace_of_the_last) {
    auto const a = named("a", 10);
    check_request request = request_of({{&a, "someone", "e"}, {&a, "else", "e"}});
    ASSERT_FALSE((request.assign(std::vector<charge>{{&a, "u", "e"}}, "", key_layout::cluster)));
    EXPECT_EQ(request.items().size(), 1u);
    EXPECT_EQ(request.key(0), "rate:{u}:e");
}

} // namespace
} // namespace weir
