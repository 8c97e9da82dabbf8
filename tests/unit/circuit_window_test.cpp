#include "support/seed.hpp"

#include <weir/circuit/window.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <stdexcept>

namespace weir::circuit {
namespace {

using namespace std::chrono_literals;

time_point after(std::chrono::nanoseconds t) { return time_point{1000h} + t; }

settings by_count(std::uint32_t calls) {
    settings how;
    how.window = window_kind::count;
    how.window_calls = calls;
    return how;
}

settings by_time(std::chrono::milliseconds time) {
    settings how;
    how.window_time = time;
    return how;
}

TEST(circuit_window, b06_the_oldest_of_a_count_window_is_evicted_exactly) {
    window subject(by_count(3));
    subject.record(true, false, false, after(0s));
    subject.record(false, true, false, after(0s));
    subject.record(true, true, true, after(0s));
    EXPECT_EQ(subject.all(), (tally{3, 2, 2}));
    EXPECT_EQ(subject.shared(), (tally{2, 1, 1}));
    subject.record(false, false, false, after(0s));
    EXPECT_EQ(subject.all(), (tally{3, 1, 2})) << "the failure went, nothing else";
    subject.record(false, false, false, after(0s));
    EXPECT_EQ(subject.all(), (tally{3, 1, 1}));
    EXPECT_EQ(subject.shared(), (tally{2, 0, 0}));
    subject.record(false, false, false, after(0s));
    EXPECT_EQ(subject.all(), (tally{3, 0, 0}));
    EXPECT_EQ(subject.shared(), (tally{3, 0, 0}));
}

TEST(circuit_window, b06_a_count_window_is_the_last_results_whatever_they_were) {
    auto const seed = test::random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    window subject(by_count(17));
    std::deque<int> last;
    for (int i = 0; i < 2000; ++i) {
        auto const what = static_cast<int>(random() % 8);
        subject.record(what & 1, what & 2, what & 4, after(0s));
        last.push_back(what);
        if (last.size() > 17)
            last.pop_front();
        tally all, shared;
        for (auto const each : last) {
            tally const one{1, (each & 1) != 0, (each & 2) != 0};
            all += one;
            if (!(each & 4))
                shared += one;
        }
        ASSERT_EQ(subject.all(), all);
        ASSERT_EQ(subject.shared(), shared);
    }
}

TEST(circuit_window, b07_a_time_bucket_expires_exactly) {
    window subject(by_time(10s));
    subject.record(true, false, false, after(0s));
    subject.record(false, true, false, after(999ms));
    subject.record(false, false, false, after(1s));
    subject.advance(after(10s - 1ns));
    EXPECT_EQ(subject.all(), (tally{3, 1, 1}));
    subject.advance(after(10s));
    EXPECT_EQ(subject.all(), (tally{1, 0, 0})) << "the first bucket has left, the second has not";
    subject.advance(after(11s - 1ns));
    EXPECT_EQ(subject.all(), (tally{1, 0, 0}));
    subject.advance(after(11s));
    EXPECT_EQ(subject.all(), (tally{}));
    EXPECT_EQ(subject.shared(), (tally{}));
}

TEST(circuit_window, b07_an_idle_gap_longer_than_the_window_clears_all) {
    window subject(by_time(10s));
    for (int i = 0; i < 10; ++i)
        subject.record(true, true, i % 2 == 0, after(i * 1s));
    EXPECT_EQ(subject.all().calls, 10u);
    subject.record(false, false, false, after(1000h));
    EXPECT_EQ(subject.all(), (tally{1, 0, 0}));
    EXPECT_EQ(subject.shared(), (tally{1, 0, 0}));
}

TEST(circuit_window, b08_a_result_from_an_expired_bucket_is_dropped) {
    window subject(by_time(10s));
    EXPECT_TRUE(subject.record(false, false, false, after(20s)));
    EXPECT_TRUE(subject.record(true, false, false, after(11s))) << "the oldest bucket that is in the window";
    EXPECT_FALSE(subject.record(true, false, false, after(11s - 1ns)));
    EXPECT_FALSE(subject.record(true, false, false, time_point{}));
    EXPECT_EQ(subject.all(), (tally{2, 1, 0}));
    subject.advance(after(21s));
    EXPECT_EQ(subject.all(), (tally{1, 0, 0})) << "it expires with its own bucket";
}

TEST(circuit_window, counts_of_a_time_window_are_those_of_its_buckets) {
    auto const seed = test::random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    window subject(by_time(1s));
    std::vector<std::pair<std::chrono::nanoseconds, bool>> all;
    std::chrono::nanoseconds now{0};
    for (int i = 0; i < 3000; ++i) {
        now += std::chrono::milliseconds{random() % 100 == 0 ? random() % 3000 : random() % 30};
        bool const failed = random() % 2;
        subject.record(failed, false, false, after(now));
        all.emplace_back(now, failed);
        auto const oldest = now - now % 100ms - 900ms;
        tally expected;
        for (auto const& [when, what] : all)
            if (when >= oldest)
                expected += {1, what, 0};
        ASSERT_EQ(subject.all(), expected);
    }
}

TEST(circuit_settings, what_is_out_of_range_is_refused_by_name) {
    auto const complaint = [](auto&& spoil) -> std::string {
        settings how;
        spoil(how);
        try {
            validate(how, "api");
        } catch (std::invalid_argument const& e) {
            return e.what();
        }
        return "";
    };
    EXPECT_EQ(complaint([](auto&) {}), "");
    EXPECT_EQ(complaint([](auto& how) { how.failure_rate = 0; }),
              "circuit api: failure_rate must be above 0, at most 1");
    EXPECT_EQ(complaint([](auto& how) { how.failure_rate = std::numeric_limits<double>::quiet_NaN(); }),
              "circuit api: failure_rate must be above 0, at most 1");
    EXPECT_EQ(complaint([](auto& how) { how.window_time = 9ms; }),
              "circuit api: window_time must be 10 ms to 366 days");
    EXPECT_EQ(complaint([](auto& how) { how.minimum_calls = 0; }),
              "circuit api: minimum_calls must be 1 to 1000000000");
    EXPECT_EQ(complaint([](auto& how) { how.open_max = how.open_for - 1ms; }),
              "circuit api: open_max must be open_for to 366 days");
    EXPECT_EQ(complaint([](auto& how) { how.half_open_calls = 1001; }),
              "circuit api: half_open_calls must be 1 to 1000");
    EXPECT_EQ(complaint([](auto& how) {
                  how.ramp = {10, 10};
              }),
              "circuit api: ramp must be shares in percent from 1 to 99, each larger than the one before");
    EXPECT_EQ(complaint([](auto& how) { how.open_backoff = 0.5; }), "circuit api: open_backoff must be 1 to 100");
}

} // namespace
} // namespace weir::circuit
