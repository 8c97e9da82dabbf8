#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace weir::metrics {

/// The keys that occur most often in a stream, in memory that does not grow with it: the space-saving sketch of
/// Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams" (ICDT 2005).
/// A key that is not among the `capacity` that are counted takes the place of the one with the smallest count, and that
/// count as the error of its own. So every key that makes up more than 1/capacity of the stream is there, and no count
/// is too small, nor too large by more than its error.
///
/// Keys are told apart by a 64-bit hash that the caller gives, and mixes well: keys of the same hash count as one.
/// `Key` is default-constructible; adding costs one probe of a table, and O(log capacity) where the order changes.
///
/// Distinct objects: safe; shared objects: unsafe.
template <class Key>
class heavy_hitters {
public:
    struct entry {
        Key key{};
        /// How often it occurred, at most; at least `count - error`.
        std::uint64_t count = 0;
        std::uint64_t error = 0;
        /// How often it occurred marked, since it was last taken in.
        std::uint64_t marked = 0;
        std::uint64_t hash = 0;
    };

    /// Precondition: `capacity` is not 0.
    explicit heavy_hitters(std::size_t capacity)
        : capacity_(capacity)
        , table_(std::bit_ceil(capacity * 4), nothing) {
        entries_.reserve(capacity);
        heap_.reserve(capacity);
        place_.reserve(capacity);
    }

    /// Counts one occurrence. `set(key)` is called where the key is taken in, in place of another whose memory it may
    /// use.
    template <class Set>
    void add(std::uint64_t hash, bool marked, Set&& set) {
        auto i = find(hash);
        if (i == nothing)
            i = take_in(hash, std::forward<Set>(set));
        ++entries_[i].count;
        entries_[i].marked += marked ? 1 : 0;
        sink(place_[i]);
    }

    /// Forgets all; keeps the memory of the keys.
    void clear() noexcept {
        std::fill(table_.begin(), table_.end(), nothing);
        heap_.clear();
        place_.clear();
        used_ = 0;
    }

    /// Calls `visit(entry)` for each that is counted, in no order.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (std::size_t i = 0; i < used_; ++i)
            visit(entries_[i]);
    }

    std::size_t size() const noexcept { return used_; }

private:
    static constexpr std::uint32_t nothing = ~std::uint32_t{0};

    std::size_t home(std::uint64_t hash) const noexcept { return hash & (table_.size() - 1); }
    std::size_t next(std::size_t at) const noexcept { return (at + 1) & (table_.size() - 1); }

    std::uint32_t find(std::uint64_t hash) const noexcept {
        for (auto at = home(hash); table_[at] != nothing; at = next(at))
            if (entries_[table_[at]].hash == hash)
                return table_[at];
        return nothing;
    }

    template <class Set>
    std::uint32_t take_in(std::uint64_t hash, Set&& set) {
        std::uint32_t i;
        if (used_ < capacity_) {
            i = static_cast<std::uint32_t>(used_++);
            if (i == entries_.size())
                entries_.emplace_back();
            entries_[i].count = 0;
            heap_.push_back(i);
            place_.push_back(i);
            rise(i);
        } else {
            i = heap_.front();
            forget(entries_[i].hash);
        }
        auto& taken = entries_[i];
        taken.error = taken.count;
        taken.marked = 0;
        taken.hash = hash;
        set(taken.key);
        auto at = home(hash);
        while (table_[at] != nothing)
            at = next(at);
        table_[at] = i;
        return i;
    }

    /// Linear probing without tombstones: what comes behind moves up where it may.
    void forget(std::uint64_t hash) noexcept {
        auto hole = home(hash);
        while (entries_[table_[hole]].hash != hash)
            hole = next(hole);
        for (auto at = next(hole); table_[at] != nothing; at = next(at)) {
            auto const wanted = home(entries_[table_[at]].hash);
            bool const reachable = hole <= at ? (wanted <= hole || wanted > at) : (wanted <= hole && wanted > at);
            if (!reachable)
                continue;
            table_[hole] = table_[at];
            hole = at;
        }
        table_[hole] = nothing;
    }

    std::uint64_t count_at(std::size_t position) const noexcept { return entries_[heap_[position]].count; }

    void exchange(std::size_t a, std::size_t b) noexcept {
        std::swap(heap_[a], heap_[b]);
        place_[heap_[a]] = static_cast<std::uint32_t>(a);
        place_[heap_[b]] = static_cast<std::uint32_t>(b);
    }

    void rise(std::size_t at) noexcept {
        for (; at > 0 && count_at((at - 1) / 2) > count_at(at); at = (at - 1) / 2)
            exchange(at, (at - 1) / 2);
    }

    void sink(std::size_t at) noexcept {
        for (;;) {
            auto least = at;
            for (auto child = 2 * at + 1; child < std::min(2 * at + 3, heap_.size()); ++child)
                if (count_at(child) < count_at(least))
                    least = child;
            if (least == at)
                return;
            exchange(at, least);
            at = least;
        }
    }

    std::size_t capacity_;
    std::size_t used_ = 0;
    /// The first `used_` are counted.
    std::vector<entry> entries_;
    /// Open addressing from a hash to an index into `entries_`, at most a quarter full.
    std::vector<std::uint32_t> table_;
    /// Indices into `entries_`, the smallest count first; and where in it each is.
    std::vector<std::uint32_t> heap_;
    std::vector<std::uint32_t> place_;
};

} // namespace weir::metrics
