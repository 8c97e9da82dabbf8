#include "proxy/balancer.hpp"

#include <weir/circuit/detail/random.hpp>

#include <algorithm>
#include <bit>

namespace weir::proxy {
namespace {

/// What keeps failing is taken out for longer each time, up to so many times as long.
constexpr std::uint32_t longest_factor = 10;

constexpr target_set bit(std::size_t target) noexcept { return target_set{1} << target; }

/// Element number `n` of a set, counted from 0. Precondition: there are more than `n`.
std::size_t nth(target_set set, std::uint64_t n) noexcept {
    for (; n > 0; --n)
        set &= set - 1;
    return static_cast<std::size_t>(std::countr_zero(set));
}

} // namespace

std::uint64_t hash_of(std::string_view text) noexcept {
    // FNV-1a, and a round of splitmix64, since its high bits are weak.
    std::uint64_t h = 0xcbf29ce484222325u;
    for (auto const c : text)
        h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return circuit::detail::next_random(h);
}

balancer::balancer(config::upstream const& settings, std::atomic<target_set> const& ill, std::uint64_t seed)
    : settings_(settings)
    , ill_(ill)
    , targets_(settings.targets.size())
    , seed_(seed) {
    for (std::size_t i = 0; i < targets_.size(); ++i) {
        all_ |= bit(i);
        targets_[i].hash = hash_of(settings.targets[i].text);
    }
}

std::size_t balancer::choose(std::uint64_t key, target_set tried, time_point now) noexcept {
    if (targets_.size() == 1)
        return tried == 0 ? 0 : none;
    auto const left = all_ & ~tried;
    auto const well = left & ~ejected(now) & ~ill_.load(std::memory_order_relaxed);
    return pick(key, well != 0 ? well : left, tried != 0);
}

std::size_t balancer::pick(std::uint64_t key, target_set among, bool again) noexcept {
    auto const n = static_cast<std::uint64_t>(std::popcount(among));
    if (n == 0)
        return none;
    switch (settings_.balance) {
    case config::balance::round_robin:
        // A further attempt takes nobody's turn: else, of two targets, one would get all the first ones.
        return nth(among, (again ? turn_ : turn_++) % n);
    case config::balance::least_request: {
        if (n == 1)
            return nth(among, 0);
        // Two different ones at random: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
        auto const drawn = circuit::detail::next_random(seed_);
        auto const first = (drawn & 0xffffffff) % n;
        auto const second = (first + 1 + (drawn >> 32) % (n - 1)) % n;
        auto const a = nth(among, first), b = nth(among, second);
        return targets_[b].in_flight < targets_[a].in_flight ? b : a;
    }
    case config::balance::consistent_hash:
        break;
    }
    return pick_by_hash(key, among);
}

/// The highest random weight (Thaler and Ravishankar, 1998): where a target goes, only its own keys move.
std::size_t balancer::pick_by_hash(std::uint64_t key, target_set among) const noexcept {
    std::size_t best = none;
    std::uint64_t best_weight = 0;
    for (; among != 0; among &= among - 1) {
        auto const i = static_cast<std::size_t>(std::countr_zero(among));
        auto mixed = key ^ targets_[i].hash;
        auto const weight = circuit::detail::next_random(mixed);
        if (best == none || weight > best_weight) {
            best = i;
            best_weight = weight;
        }
    }
    return best;
}

void balancer::succeeded(std::size_t target, time_point now) noexcept {
    auto& t = targets_[target];
    --t.in_flight;
    t.failures = 0;
    t.well_at = now;
    if (t.times > 0 && now - t.out_until > settings_.ejection.lasts)
        t.times = 0;
}

bool balancer::failed(std::size_t target, time_point now) noexcept {
    auto& t = targets_[target];
    --t.in_flight;
    ++t.failures;
    auto const allowed = static_cast<int>(settings_.ejection.max_share * static_cast<double>(targets_.size()));
    if (settings_.ejection.after == 0 || t.failures < settings_.ejection.after || (ejected(now) & bit(target)) != 0 ||
        std::popcount(out_) >= allowed)
        return false;
    eject(target, now);
    return true;
}

void balancer::eject(std::size_t target, time_point now) noexcept {
    auto& t = targets_[target];
    t.failures = 0;
    t.times = std::min(t.times + 1, longest_factor);
    t.out_until = now + settings_.ejection.lasts * t.times;
    out_ |= bit(target);
    next_return_ = std::min(next_return_, t.out_until);
}

bool balancer::alone_in_trouble(std::size_t target) const noexcept {
    return std::any_of(targets_.begin(), targets_.end(),
                       [&](state const& other) { return other.well_at > targets_[target].well_at; });
}

target_set balancer::ejected(time_point now) noexcept {
    if (now < next_return_)
        return out_;
    next_return_ = time_point::max();
    for (auto left = out_; left != 0; left &= left - 1) {
        auto const i = static_cast<std::size_t>(std::countr_zero(left));
        if (targets_[i].out_until <= now)
            out_ &= ~bit(i);
        else
            next_return_ = std::min(next_return_, targets_[i].out_until);
    }
    return out_;
}

} // namespace weir::proxy
