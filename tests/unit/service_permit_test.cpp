#include "service/circuit_order.hpp"
#include "service/permit_seal.hpp"
#include "service/used_permits.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>

// Permits as texts, and which of them were used.

namespace {

using namespace weir::service;
using weir::circuit::state;

issued_permit sample() {
    return {{0xfeed, 7, 3, 1'795'275'404'237'993, state::half_open, true}, 42, std::chrono::microseconds{123'456}};
}

bool same(issued_permit const& a, issued_permit const& b) {
    return a.leave == b.leave && a.number == b.number && a.at == b.at;
}

TEST(service_permit, is_read_as_it_was_written) {
    permit_seal const seal("api", "secret");
    auto largest = sample();
    largest.leave.origin = largest.leave.generation = largest.leave.lease = largest.number =
        std::numeric_limits<std::uint64_t>::max();
    for (auto const& each : {sample(), issued_permit{{1, 1, 0, 0, state::closed, false}, 0, {}}, largest}) {
        auto const text = seal.write(each);
        EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789."), text.npos) << text;
        auto const read = seal.read(text);
        ASSERT_TRUE(read) << text;
        EXPECT_TRUE(same(*read, each)) << text;
    }
}

TEST(service_permit, is_good_for_its_circuit_and_its_secret_alone) {
    auto const text = permit_seal("api", "secret").write(sample());
    EXPECT_TRUE(permit_seal("api", "secret").read(text));
    EXPECT_FALSE(permit_seal("apj", "secret").read(text));
    EXPECT_FALSE(permit_seal("api", "secreu").read(text));
    EXPECT_FALSE(permit_seal("api", "").read(text));
    auto const plain = permit_seal("api", {}).write(sample());
    EXPECT_TRUE(permit_seal("api", {}).read(plain)) << "without a secret it still has a sum";
    EXPECT_FALSE(permit_seal("db", {}).read(plain));
}

TEST(service_permit, any_change_of_the_text_is_found) {
    permit_seal const seal("api", {});
    auto const text = seal.write(sample());
    for (std::size_t i = 0; i < text.size(); ++i)
        for (char const with : {'0', 'f', '.', ' ', '\0', '\xff'}) {
            auto changed = text;
            changed[i] = with;
            EXPECT_EQ(seal.read(changed).has_value(), changed == text) << changed;
            EXPECT_FALSE(seal.read(text.substr(0, i))) << i;
        }
    EXPECT_FALSE(seal.read(text + '0'));
    std::mt19937 random(1);
    for (int i = 0; i < 1000; ++i) {
        std::string noise(random() % 200, '\0');
        for (auto& each : noise)
            each = static_cast<char>(random());
        EXPECT_FALSE(seal.read(noise));
    }
}

TEST(service_permit, a_time_that_is_not_said_is_not_read) {
    permit_seal const seal("api", {});
    auto const text = seal.write(sample());
    std::vector<body_issue> issues;
    auto said = read_circuit_result(R"({"outcome":"local_failure","permit":")" + text + "\"}", seal, issues);
    EXPECT_TRUE(issues.empty());
    EXPECT_EQ(said.what, weir::circuit::outcome::local_failure);
    EXPECT_FALSE(said.took);
    EXPECT_TRUE(same(said.of, sample()));
    said = read_circuit_result(R"({"outcome":"failure","duration_ms":0,"error":"a\tb\u0000\u007f\u00e9","permit":")" +
                                   text + "\"}",
                               seal, issues);
    EXPECT_TRUE(issues.empty());
    EXPECT_EQ(said.took, std::chrono::milliseconds{0});
    EXPECT_EQ(said.error, "a b  \xc3\xa9");
}

TEST(service_used_permits, each_is_new_once) {
    used_permits used;
    EXPECT_TRUE(used.add(42));
    EXPECT_FALSE(used.add(42));
    EXPECT_TRUE(used.add(43));
    EXPECT_FALSE(used.add(42));
}

TEST(service_used_permits, tens_of_thousands_are_remembered_and_the_oldest_forgotten) {
    used_permits used;
    std::mt19937_64 random(1);
    std::vector<std::uint64_t> numbers(30'000);
    for (auto& each : numbers) {
        each = random();
        EXPECT_TRUE(used.add(each));
    }
    std::size_t known = 0;
    for (std::size_t i = numbers.size() / 2; i < numbers.size(); ++i)
        known += used.add(numbers[i]) ? 0 : 1;
    EXPECT_GE(known, numbers.size() / 2 * 99 / 100);
    for (int i = 0; i < 1'000'000; ++i)
        used.add(random());
    EXPECT_TRUE(used.add(numbers.front()));
}

} // namespace
