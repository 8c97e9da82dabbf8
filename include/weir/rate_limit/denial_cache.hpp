#pragma once

#include <weir/detail/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir {

/// What Redis has refused lately, so that a flood of refused requests need not ask it again: a denial says itself until
/// when it holds. It is trusted for `trusted` at most, for somebody may give back what was charged.
///
/// Bounded, whatever keys an attacker invents. Time is an argument, of any clock that does not step back. Distinct
/// objects: safe; shared objects: unsafe.
class denial_cache {
public:
    using microseconds = std::chrono::microseconds;

    /// For how long nobody asks again.
    static constexpr microseconds trusted = std::chrono::seconds{1};

    struct denial {
        std::uint32_t rule_id;
        /// What was too much; a smaller cost may have room.
        std::uint64_t cost;
        std::uint64_t remaining;
        microseconds asked, retry_at, reset_at;
    };

    /// Remembers denials of at most `keys` keys; 0: none.
    explicit denial_cache(std::size_t keys)
        : limit_(keys) {}

    bool enabled() const noexcept { return limit_ > 0; }
    std::size_t size() const noexcept { return known_.size(); }

    /// Remembers, instead of another denial by the same rule under the same key.
    WEIR_DECL void remember(std::string_view key, denial const& what);
    /// The denial by this rule that holds for `cost` at `now`, or null; valid until the next call.
    WEIR_DECL denial const* find(std::string_view key, std::uint32_t rule_id, std::uint64_t cost, microseconds now);
    /// Something was given back under this key.
    WEIR_DECL void forget(std::string_view key);
    void clear() noexcept { known_.clear(); }

private:
    struct hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
    };

    std::size_t limit_;
    std::unordered_map<std::string, std::vector<denial>, hash, std::equal_to<>> known_;
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/denial_cache.ipp>
#endif
