#pragma once

#include <weir/rate_limit/rule.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

/// How a sliding window keeps its charges: every charge is an entry of its own while few are live; beyond `keep` of
/// them, charges within `width` of the opening of the newest entry share it. An entry counts in full until a window
/// after its last charge, so that sharing counts a charge at most `width` too long and never too short.
struct window_shape {
    std::chrono::microseconds width{0};
    std::uint16_t keep = 0xffff;
};

/// Limits up to this are exact: no charges ever share an entry.
inline constexpr std::uint64_t exact_limit = 128;

/// Past `exact_limit`, a charge counts at most `window / window_slots` too long.
inline constexpr int window_slots = 32;

inline window_shape shape_of(rule const& r) noexcept {
    if (r.limit <= exact_limit)
        return {};
    return {std::chrono::microseconds{r.window} / window_slots, static_cast<std::uint16_t>(window_slots)};
}

/// The sliding window of one rule and one key in memory: what lua/rate_check.lua keeps in Redis.
///
/// Time is an argument and never steps back. Distinct objects: safe; shared objects: unsafe.
class sliding_window {
public:
    using microseconds = std::chrono::microseconds;

    struct answer {
        bool admitted = false;
        std::uint64_t remaining = 0;
        /// Zero if admitted; negative: never.
        microseconds retry_after{0};
        microseconds reset_after{0};
    };

    /// Whether `cost` units have room at `now`; 0 asks for room for one. Charges nothing.
    answer ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t cost) const {
        auto const first = first_live(now, window);
        auto const before = first < entries_.size() ? entries_[first].before : total_;
        auto const used = total_ - before;
        auto const need = std::max<std::uint64_t>(cost, 1);
        answer result;
        result.admitted = need <= limit && used + need <= limit;
        result.remaining = limit > used ? limit - used : 0;
        if (first < entries_.size())
            result.reset_after = entries_.back().last + window - now;
        if (need > limit)
            result.retry_after = microseconds{-1};
        else if (!result.admitted)
            result.retry_after = entries_[first_to_leave(first, before + used + need - limit)].last + window - now;
        return result;
    }

    /// Charges `cost` units at `now`. Precondition: `ask` admitted them at that time.
    void charge(microseconds now, microseconds window, window_shape shape, std::uint64_t cost) {
        entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_live(now, window)));
        if (!entries_.empty() && entries_.size() >= shape.keep && now - open_ < shape.width) {
            entries_.back().last = now;
        } else {
            entries_.push_back({now, total_});
            open_ = now;
        }
        total_ += cost;
    }

    /// Whether nothing counts any more at `now`.
    bool idle(microseconds now, microseconds window) const noexcept {
        return entries_.empty() || now - entries_.back().last >= window;
    }

    std::size_t entry_count() const noexcept { return entries_.size(); }

private:
    struct entry {
        microseconds last;
        /// Units charged before this entry.
        std::uint64_t before;
    };

    std::size_t first_live(microseconds now, microseconds window) const {
        auto const live = std::partition_point(entries_.begin(), entries_.end(),
                                               [&](entry const& e) { return now - e.last >= window; });
        return static_cast<std::size_t>(live - entries_.begin());
    }

    /// The first entry whose end leaves at least `target` units counted as gone.
    std::size_t first_to_leave(std::size_t first, std::uint64_t target) const {
        auto index = first;
        while (index + 1 < entries_.size() && entries_[index + 1].before < target)
            ++index;
        return index;
    }

    std::vector<entry> entries_;
    microseconds open_{0};
    std::uint64_t total_ = 0;
};

} // namespace weir
