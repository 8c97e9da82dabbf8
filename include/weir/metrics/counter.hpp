#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

/// What a worker counts on the way of a request. Each object has one writer, the worker's thread; any thread may read
/// it meanwhile. An update is a load and a store, without a locked instruction, so it costs about a nanosecond; a
/// reader sees every value some time after it was written.
namespace weir::metrics {

/// Only ever grows. Thread safety: one writer, any readers.
class counter {
public:
    void increment(std::uint64_t by = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }

    std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// Goes up and down. Thread safety: one writer, any readers.
class gauge {
public:
    void add(std::int64_t by) noexcept { set(value() + by); }
    void set(std::int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::int64_t> value_{0};
};

/// Counts durations in buckets from 100 µs to 60 s, and above. Thread safety: one writer, any readers.
class histogram {
public:
    /// The upper bounds of all buckets but the last, which has none.
    static constexpr std::array<std::chrono::nanoseconds, 18> bounds{{
        std::chrono::microseconds{100},
        std::chrono::microseconds{250},
        std::chrono::microseconds{500},
        std::chrono::milliseconds{1},
        std::chrono::microseconds{2500},
        std::chrono::milliseconds{5},
        std::chrono::milliseconds{10},
        std::chrono::milliseconds{25},
        std::chrono::milliseconds{50},
        std::chrono::milliseconds{100},
        std::chrono::milliseconds{250},
        std::chrono::milliseconds{500},
        std::chrono::seconds{1},
        std::chrono::milliseconds{2500},
        std::chrono::seconds{5},
        std::chrono::seconds{10},
        std::chrono::seconds{30},
        std::chrono::seconds{60},
    }};

    /// A negative duration counts as zero.
    void observe(std::chrono::nanoseconds duration) noexcept {
        auto const count = static_cast<std::uint64_t>(std::max(duration, std::chrono::nanoseconds{0}).count());
        // The first bucket that a number of so many bits can fall into; at most two more to look at.
        std::size_t i = first_bucket_[static_cast<std::size_t>(std::bit_width(count))];
        while (i < bounds.size() && duration > bounds[i])
            ++i;
        buckets_[i].increment();
        sum_.increment(count);
    }

    /// Durations that fell into bucket `i`, not those below: 0 to `bounds.size()`.
    std::uint64_t bucket(std::size_t i) const noexcept { return buckets_[i].value(); }

    /// Nanoseconds of all durations together.
    std::uint64_t sum() const noexcept { return sum_.value(); }

private:
    // A lambda, since a static member function cannot be called in a constant expression before the class is complete.
    static constexpr auto first_bucket_ = [] {
        std::array<std::uint8_t, 65> table{};
        for (std::size_t bits = 1; bits < table.size(); ++bits) {
            auto const smallest = std::uint64_t{1} << (bits - 1);
            while (table[bits] < bounds.size() && static_cast<std::uint64_t>(bounds[table[bits]].count()) < smallest)
                ++table[bits];
        }
        return table;
    }();

    std::array<counter, bounds.size() + 1> buckets_;
    counter sum_;
};

} // namespace weir::metrics
