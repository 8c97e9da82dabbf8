#pragma once

#include <weir/rate_limit/token_bucket.hpp>

#include <algorithm>
#include <numeric>

namespace weir {
namespace detail {

__extension__ using wide = unsigned __int128;

/// The smallest fraction not below `num / den` whose numerator is at most `bound`; the exact one has a larger one.
inline bucket_rate upper_approximation(std::uint64_t num, std::uint64_t den, std::uint64_t bound) noexcept {
    // low_n / low_d <= num / den <= high_n / high_d, neighbours in the Stern-Brocot tree; 1 / 0 stands for infinity.
    std::uint64_t low_n = 0, low_d = 1, high_n = 1, high_d = 0;
    for (;;) {
        auto const above = wide{high_n} * den - wide{high_d} * num;
        auto below = wide{low_d} * num - wide{low_n} * den;
        if (above == 0)
            return {high_n, high_d};
        auto const up = static_cast<std::uint64_t>(below / above);
        low_n += up * high_n;
        low_d += up * high_d;
        below -= up * above;
        if (below == 0) // met from below: the exact fraction is past the bound, and all above it are nearer from here
            return high_d > 0 ? bucket_rate{high_n, high_d} : bucket_rate{low_n, low_d};
        auto const wanted = static_cast<std::uint64_t>(above / below);
        auto const room = low_n > 0 ? (bound - high_n) / low_n : wanted;
        auto const down = std::min(wanted, room);
        high_n += down * low_n;
        high_d += down * low_d;
        if (down == 0 || down < wanted)
            return {high_n, high_d};
    }
}

} // namespace detail

WEIR_DECL bucket_rate rate_of(std::uint64_t limit, std::chrono::microseconds window, std::uint64_t burst) noexcept {
    if (limit == 0 || burst == 0)
        return {};
    auto const span = static_cast<std::uint64_t>(window.count());
    auto const common = std::gcd(span, limit);
    auto const num = span / common, den = limit / common;
    std::uint64_t const most = std::uint64_t{1} << 47;
    auto const bound = std::min((std::uint64_t{1} << 51) / burst, most);
    if (num <= bound)
        return {num, den};
    return detail::upper_approximation(num, den, bound);
}

WEIR_DECL rate_answer token_bucket::ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t burst,
                                        std::uint64_t cost) {
    auto const rate = rate_of(limit, window, burst);
    if (rate.interval != rate_.interval)
        owed_ = (owed_ + rate_.interval - 1) / rate_.interval * rate.interval;
    rate_ = rate;
    auto const flowed = detail::wide{static_cast<std::uint64_t>((now - when_).count())} * rate.tokens;
    owed_ -= flowed < owed_ ? static_cast<std::uint64_t>(flowed) : owed_;
    when_ = now;

    auto const ceil = [&](std::uint64_t amount) {
        return microseconds{static_cast<std::int64_t>((amount + rate.tokens - 1) / rate.tokens)};
    };
    auto const used = (owed_ + rate.interval - 1) / rate.interval;
    auto const need = std::max<std::uint64_t>(cost, 1);
    rate_answer result;
    result.remaining = burst > used ? burst - used : 0;
    result.reset_after = ceil(owed_);
    if (need > burst) {
        result.retry_after = microseconds{-1};
        return result;
    }
    auto const wanted = owed_ + need * rate.interval, full = burst * rate.interval;
    result.admitted = wanted <= full;
    if (!result.admitted)
        result.retry_after = ceil(wanted - full);
    return result;
}

} // namespace weir
