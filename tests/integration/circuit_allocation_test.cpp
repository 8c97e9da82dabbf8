#include "support/allocations.hpp"
#include "support/redis_fixture.hpp"

#include <weir/circuit/registry.hpp>

#include <gtest/gtest.h>

namespace weir::test {
namespace {

using namespace std::chrono_literals;

/// How often a million calls allocate.
std::size_t allocations_of(circuit::breaker& api, bool expected) {
    allocations = 0;
    counting = true;
    bool as_expected = true;
    for (int i = 0; i < 1'000'000; ++i) {
        auto leave = api.try_acquire();
        as_expected = as_expected && static_cast<bool>(leave) == expected;
        if (i % 100 == 0)
            leave.failure("connection refused");
        else
            leave.success();
    }
    counting = false;
    EXPECT_TRUE(as_expected);
    return allocations;
}

TEST(circuit_allocation, leave_result_and_refusal_allocate_nothing) {
    asio::io_context io(1);
    circuit::registry all(io);
    circuit::settings by_time;
    by_time.open_for = by_time.open_max = 1h;
    auto by_count = by_time;
    by_count.window = circuit::window_kind::count;
    for (auto const& [name, how] : {std::pair{"time", by_time}, std::pair{"count", by_count}}) {
        auto api = all.get(name, how);
        EXPECT_EQ(allocations_of(api, true), 0u) << name;
        for (int i = 0; i < 100'000'000 && api.now() == circuit::state::closed; ++i)
            api.try_acquire().failure();
        EXPECT_EQ(allocations_of(api, false), 0u) << name << ", open";
    }
}

} // namespace
} // namespace weir::test
