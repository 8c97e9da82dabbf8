#pragma once

#include <weir/detail/config.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::http {

/// Which fields tell a client about its quota.
enum class rate_limit_style {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11.
    draft11,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` of the binding rule.
    legacy,
    both,
    none,
};

/// What one rule said about one request.
struct quota {
    /// Visible ASCII and spaces; anything else is sent as `?`.
    std::string_view name;
    std::uint64_t limit = 0;
    std::chrono::milliseconds window{};
    std::uint64_t remaining = 0;
    /// Until more quota is there.
    std::chrono::milliseconds reset_after{};
    bool allowed = true;
};

/// What all rules said about one request.
struct quota_report {
    std::span<quota const> rules;
    /// Index of the rule that decided, or that is nearest to refusing: the one legacy fields speak of.
    std::size_t binding = 0;
    bool allowed = true;
    /// When a refused request would pass; none when it never would.
    std::optional<std::chrono::milliseconds> retry_after;
};

/// Appends whole field lines, each with its CRLF, for the response to a limited request.
///
/// `Retry-After` stands in every refusal but one that no waiting can change, whatever the style: whole seconds rounded
/// up, at least 1. Seconds in the other fields are rounded up too; the `t` (and `X-RateLimit-Reset`, also a number of
/// seconds) of a rule that refused is never later than `Retry-After`, so that the two cannot contradict each other.
/// Numbers above 999 999 999 999 999, the largest Integer of RFC 9651, are sent as that. Allocates only where `out` has
/// no room for 256 bytes more, or for what is written.
WEIR_DECL void append_rate_limit_fields(std::string& out, quota_report const& report, rate_limit_style style);

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/rate_limit_fields.ipp>
#endif
