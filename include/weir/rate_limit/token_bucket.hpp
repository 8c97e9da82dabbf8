#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/answer.hpp>

#include <chrono>
#include <cstdint>

namespace weir {

/// How fast a token bucket fills: a token in `interval / tokens` microseconds.
struct bucket_rate {
    std::uint64_t interval = 1;
    std::uint64_t tokens = 1;

    friend bool operator==(bucket_rate const&, bucket_rate const&) = default;
};

/// The rate of `limit` tokens a `window`, exactly where `burst` intervals are below 2^51, which all but odd numbers of
/// millions are; else the next slower one that is (the best upper approximation of the fraction, by the Stern-Brocot
/// tree), slower by less than one part in 2^11 with bursts to 2^40.
WEIR_DECL bucket_rate rate_of(std::uint64_t limit, std::chrono::microseconds window, std::uint64_t burst) noexcept;

/// The token bucket of one rule and one key in memory: what lua/rate_check.lua keeps in Redis. It keeps what is owed,
/// in microseconds times `tokens`, so that whole numbers decide.
///
/// Time is an argument, not negative, and never steps back. Distinct objects: safe; shared objects: unsafe.
class token_bucket {
public:
    using microseconds = std::chrono::microseconds;

    /// Whether `cost` tokens are there at `now`; 0 asks for one. Charges nothing.
    WEIR_DECL rate_answer ask(microseconds now, std::uint64_t limit, microseconds window, std::uint64_t burst,
                              std::uint64_t cost);

    /// Takes `cost` tokens at `now`. Precondition: `ask` admitted them at that time, with nothing in between.
    void charge(microseconds, std::uint64_t cost) noexcept { owed_ += cost * rate_.interval; }

private:
    bucket_rate rate_;
    std::uint64_t owed_ = 0;
    microseconds when_{0};
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/token_bucket.ipp>
#endif
