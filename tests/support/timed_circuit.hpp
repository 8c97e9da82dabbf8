#pragma once

#include <weir/circuit/core.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace weir::test {

using namespace std::chrono_literals;

/// A breaker with a clock that the test moves.
struct timed_circuit {
    explicit timed_circuit(circuit::settings how = small())
        : subject(std::move(how), 1) {}

    static circuit::settings small() {
        circuit::settings how;
        how.window = circuit::window_kind::count;
        how.window_calls = 10;
        how.minimum_calls = 4;
        how.open_for = 1s;
        how.open_max = 60s;
        how.jitter = 0;
        how.healthy_for = 0s;
        return how;
    }

    static circuit::settings with_slow_calls() {
        auto how = small();
        how.slow_call = 100ms;
        how.slow_rate = 0.5;
        return how;
    }

    void call(circuit::outcome what, std::chrono::nanoseconds took = 1ms) {
        auto const leave = subject.acquire(now);
        ASSERT_TRUE(leave);
        subject.record(leave, what, took, now);
    }
    void calls(int count, circuit::outcome what) {
        for (int i = 0; i < count; ++i)
            call(what);
    }
    bool refused() {
        auto const leave = subject.acquire(now);
        subject.release(leave);
        return !leave;
    }
    void trip() {
        calls(4, circuit::outcome::failure);
        ASSERT_EQ(subject.now(), circuit::state::open);
        drain();
    }
    /// To half open, by time.
    void wait() {
        now = subject.until();
        subject.on_time(now);
        ASSERT_EQ(subject.now(), circuit::state::half_open);
        drain();
    }
    std::vector<circuit::change> drain() {
        std::vector<circuit::change> all;
        while (auto const each = subject.next_change())
            all.push_back(*each);
        return all;
    }

    circuit::core subject;
    circuit::time_point now{1000h};
};

} // namespace weir::test
