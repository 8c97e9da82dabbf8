#pragma once

#include <weir/detail/config.hpp>
#include <weir/detail/sha256.hpp>
#include <weir/http/verified_identity.hpp>

#include <chrono>
#include <string_view>
#include <unordered_map>

namespace weir::http {

/// Credentials that were found good, so that their signatures need not be computed again for each request. Knows them
/// by their SHA-256 alone, and forgets those that nobody has shown for long: never more than `entries` are kept. What
/// is not good must not be put in, or strangers could push out those who are.
///
/// Time is an argument: the wall clock, which is what credentials name their end by. Distinct objects: safe; shared
/// objects: unsafe.
class verified_cache {
public:
    explicit verified_cache(std::size_t entries)
        : half_(entries / 2) {}

    /// Who that credential proves to ask, or null where it is not known or has expired; valid until the next call.
    WEIR_DECL verified_identity const* find(std::string_view credential, std::chrono::sys_seconds now);

    /// Remembers a credential that is good until `who.expires`.
    WEIR_DECL verified_identity const& remember(std::string_view credential, verified_identity who);

    std::size_t size() const noexcept { return young_.size() + old_.size(); }

private:
    using table = std::unordered_map<weir::detail::sha256_digest, verified_identity, weir::detail::digest_hash>;

    void make_room();

    /// Two generations: when the young one is full the old one is dropped, and the young one is the old one.
    std::size_t half_;
    table young_, old_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/verified_cache.ipp>
#endif
