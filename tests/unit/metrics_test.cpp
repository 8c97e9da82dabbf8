#include <weir/metrics/blocks.hpp>

#include <gtest/gtest.h>

#include <thread>

namespace {

using namespace std::chrono_literals;
using namespace weir::metrics;

TEST(metrics_counter, adds_up) {
    counter count;
    count.increment();
    count.increment(5);
    EXPECT_EQ(count.value(), 6U);
}

TEST(metrics_counter, is_read_by_another_thread_while_it_grows) {
    counter count;
    constexpr std::uint64_t last = 200'000;
    std::thread reader{[&] {
        std::uint64_t before = 0;
        while (before < last) {
            auto const now = count.value();
            ASSERT_GE(now, before);
            before = now;
        }
    }};
    for (std::uint64_t i = 0; i < last; ++i)
        count.increment();
    reader.join();
}

TEST(metrics_gauge, goes_up_and_down) {
    gauge level;
    level.add(3);
    level.add(-5);
    EXPECT_EQ(level.value(), -2);
    level.set(7);
    EXPECT_EQ(level.value(), 7);
}

TEST(metrics_histogram, puts_every_duration_below_or_on_its_bound) {
    auto const bucket_of = [](std::chrono::nanoseconds duration) {
        histogram one;
        one.observe(duration);
        std::size_t i = 0;
        while (one.bucket(i) == 0)
            ++i;
        return i;
    };
    for (std::size_t i = 0; i < histogram::bounds.size(); ++i) {
        EXPECT_EQ(bucket_of(histogram::bounds[i]), i);
        EXPECT_EQ(bucket_of(histogram::bounds[i] - 1ns), i);
        EXPECT_EQ(bucket_of(histogram::bounds[i] + 1ns), i + 1);
    }
    EXPECT_EQ(bucket_of(0ns), 0U);
    EXPECT_EQ(bucket_of(-5s), 0U);
    EXPECT_EQ(bucket_of(std::chrono::nanoseconds::max()), histogram::bounds.size());
}

TEST(metrics_histogram, sums_nanoseconds) {
    histogram some;
    some.observe(1ms);
    some.observe(2ms);
    some.observe(-1ms);
    EXPECT_EQ(some.sum(), 3'000'000U);
}

TEST(metrics_blocks, are_found_by_number) {
    registry all{{{"chat", "rest"}, {"per-user"}, {"api"}, {}, {"rate_check"}}, 2};
    ASSERT_EQ(all.workers(), 2U);
    auto& worker = all.worker(1);
    EXPECT_EQ(worker.routes.size(), 3U) << "one more for what matches no route";
    EXPECT_EQ(worker.redis.scripts.size(), 2U) << "one more for what is no script";
    worker.routes[1].requests[class_of(404)].increment();
    worker.rules[0].decisions[weir::outcome::deny].increment();
    worker.redis.errors[weir::errc::invalid_url].increment();
    EXPECT_EQ(worker.routes[1].requests[code_class::client_error].value(), 1U);
    EXPECT_EQ(all.worker(0).routes[1].requests[code_class::client_error].value(), 0U);
}

TEST(metrics_blocks, classify_statuses) {
    EXPECT_EQ(class_of(100), code_class::informational);
    EXPECT_EQ(class_of(204), code_class::success);
    EXPECT_EQ(class_of(599), code_class::server_error);
    EXPECT_EQ(class_of(600), code_class::server_error);
    EXPECT_EQ(class_of(0), code_class::server_error);
}

} // namespace
