#pragma once

#include <weir/circuit/settings.hpp>
#include <weir/clock.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace weir::circuit {

/// The protocol's times; nothing in the pure parts reads the clock.
using time_point = boot_clock::time_point;

/// Results of calls, by what they were.
struct tally {
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
    std::uint64_t slow = 0;

    tally& operator+=(tally const& other) noexcept {
        calls += other.calls;
        failures += other.failures;
        slow += other.slow;
        return *this;
    }
    tally& operator-=(tally const& other) noexcept {
        calls -= other.calls;
        failures -= other.failures;
        slow -= other.slow;
        return *this;
    }
    friend bool operator==(tally const&, tally const&) = default;
};

/// Whether `part` of `whole` is at least so many millionths; nothing is a share of nothing.
constexpr bool reaches(std::uint64_t part, std::uint64_t whole, std::uint64_t rate) noexcept {
    return part > 0 && part * 1'000'000 >= rate * whole;
}

/// The most recent results: the last so many (a ring of them), or those of the last so long (a ring of ten buckets,
/// each of which expires as a whole, so that the window spans between nine and ten of them).
///
/// Recording is O(1) and allocates nothing. Time is an argument; one that steps back counts where it belongs, and is
/// dropped where its bucket has expired. Distinct objects: safe; shared objects: unsafe.
class window {
public:
    static constexpr std::size_t buckets = 10;

    /// Precondition: `how` is valid.
    WEIR_DECL explicit window(settings const& how);

    /// Counts one result. One of our own side counts in `all` alone. Returns false where it is too old to count.
    bool record(bool failed, bool slow, bool own_side, time_point now) noexcept {
        if (ring_.empty()) {
            if (now >= begin_ && now < end_) [[likely]]
                add(buckets_[current_], failed, slow, own_side);
            else
                return record_elsewhere(failed, slow, own_side, now);
        } else {
            replace(failed, slow, own_side);
        }
        return true;
    }

    /// Drops what has expired by `now`.
    WEIR_DECL void advance(time_point now) noexcept;
    WEIR_DECL void clear() noexcept;

    tally const& all() const noexcept { return all_; }
    /// Without the failures of our own side: what the fleet is told.
    tally const& shared() const noexcept { return shared_; }

private:
    struct bucket {
        tally all;
        tally shared;
    };
    // What a result of a count window was.
    enum : std::uint8_t { is_failure = 1, is_slow = 2, is_own_side = 4, is_there = 8 };

    static void count(tally& to, bool failed, bool slow) noexcept {
        ++to.calls;
        to.failures += failed;
        to.slow += slow;
    }
    void add(bucket& to, bool failed, bool slow, bool own_side) noexcept {
        count(to.all, failed, slow);
        count(all_, failed, slow);
        if (!own_side) [[likely]] {
            count(to.shared, failed, slow);
            count(shared_, failed, slow);
        }
    }
    void replace(bool failed, bool slow, bool own_side) noexcept {
        auto& slot = ring_[current_];
        if (slot & is_there) {
            tally const oldest{1, (slot & is_failure) != 0, (slot & is_slow) != 0};
            all_ -= oldest;
            if (!(slot & is_own_side))
                shared_ -= oldest;
        }
        slot = static_cast<std::uint8_t>(is_there | (failed ? is_failure : 0) | (slow ? is_slow : 0) |
                                         (own_side ? is_own_side : 0));
        count(all_, failed, slow);
        if (!own_side)
            count(shared_, failed, slow);
        if (++current_ == ring_.size())
            current_ = 0;
    }
    WEIR_DECL bool record_elsewhere(bool failed, bool slow, bool own_side, time_point now) noexcept;

    tally all_;
    tally shared_;
    // Of the bucket, or of the slot of the ring, that is written next.
    std::size_t current_ = 0;
    // When the current bucket began and ends; a width of 0 is a window by count.
    time_point begin_{};
    time_point end_{};
    std::chrono::nanoseconds width_{0};
    std::array<bucket, buckets> buckets_{};
    std::vector<std::uint8_t> ring_;
};

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/window.ipp>
#endif
