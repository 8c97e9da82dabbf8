#pragma once

#include "config/config.hpp"

#include <weir/clock.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace weir::proxy {

/// A set of targets of one upstream, by their index.
using target_set = std::uint64_t;

/// Chooses the target of each request by the way the upstream asks for, and leaves those out that fail: for a time, as
/// long as enough others are left, those that failed too often in a row; and those that the health check found ill.
/// Where nothing else is left, they are chosen all the same: to try is better than to refuse.
///
/// Time is an argument. Thread safety: distinct objects: safe; shared objects: unsafe, but for `ill`.
class balancer {
public:
    static constexpr std::size_t none = ~std::size_t{0};
    using time_point = boot_clock::time_point;

    /// `settings` must outlive it, as must `ill`: the targets that the health check found so, set by any thread.
    /// `settings.targets` holds at most `config::max_targets`.
    balancer(config::upstream const& settings, std::atomic<target_set> const& ill, std::uint64_t seed);

    /// The target of the next request that is not among those `tried`; `none` where there is no other. `key` makes the
    /// choice of `consistent_hash`.
    std::size_t choose(std::uint64_t key, target_set tried, time_point now) noexcept;

    /// A request goes to `target`; end it by `succeeded`, `failed` or `abandoned`.
    void begin(std::size_t target) noexcept { ++targets_[target].in_flight; }
    /// It came back well.
    void succeeded(std::size_t target, time_point now) noexcept;
    /// The target failed it. True: it has been taken out with that.
    bool failed(std::size_t target, time_point now) noexcept;
    /// It says nothing of the target.
    void abandoned(std::size_t target) noexcept { --targets_[target].in_flight; }

    /// Whether some other target has answered well since this one last did: then the trouble is its own.
    bool alone_in_trouble(std::size_t target) const noexcept;

    /// Those taken out for failing.
    target_set ejected(time_point now) noexcept;
    target_set all() const noexcept { return all_; }
    std::uint32_t in_flight(std::size_t target) const noexcept { return targets_[target].in_flight; }

private:
    struct state {
        std::uint32_t in_flight = 0;
        std::uint32_t failures = 0;
        /// How often it was taken out without having been well in between.
        std::uint32_t times = 0;
        time_point out_until{};
        time_point well_at{};
        std::uint64_t hash = 0;
    };

    std::size_t pick(std::uint64_t key, target_set among, bool again) noexcept;
    std::size_t pick_by_hash(std::uint64_t key, target_set among) const noexcept;
    void eject(std::size_t target, time_point now) noexcept;

    config::upstream const& settings_;
    std::atomic<target_set> const& ill_;
    std::vector<state> targets_;
    target_set all_ = 0;
    target_set out_ = 0;
    time_point next_return_ = time_point::max();
    std::uint64_t turn_ = 0;
    std::uint64_t seed_;
};

/// The key of a text for `balancer::choose`: the same on every instance.
std::uint64_t hash_of(std::string_view text) noexcept;

} // namespace weir::proxy
