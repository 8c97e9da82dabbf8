#pragma once

#include <weir/detail/config.hpp>

#include <span>
#include <string>
#include <string_view>

namespace weir::http {

/// The media type of `append_problem`'s text.
inline constexpr std::string_view problem_content_type = "application/problem+json";

/// The type of a refusal by a limit (draft-ietf-httpapi-ratelimit-headers-11).
inline constexpr std::string_view quota_exceeded_type =
    "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// One thing that is wrong in what a client sent (RFC 9457 section 3, the extension member `errors`).
struct problem_error {
    /// Where: a JSON pointer (RFC 6901); empty is the whole document.
    std::string_view pointer;
    std::string_view detail;
};

/// What a client is told when it gets no answer from the upstream (RFC 9457).
struct problem {
    unsigned status = 500;
    /// Empty: `about:blank`, which says no more than the status.
    std::string_view type = {};
    /// Empty: the phrase of the status, or of `quota_exceeded_type`.
    std::string_view title = {};
    /// What happened this time; empty leaves the member out.
    std::string_view detail = {};
    /// Empty leaves the member out.
    std::string_view request_id = {};
    /// Names of the rules that refused; none leaves the member out.
    std::span<std::string_view const> violated_policies = {};
    /// None leaves the member out.
    std::span<problem_error const> errors = {};
};

/// The standard phrase of a status; "Unknown" when it has none.
WEIR_DECL std::string_view status_phrase(unsigned status) noexcept;

/// Appends the problem as one JSON object. Everything is escaped; see `append_json_string`.
WEIR_DECL void append_problem(std::string& out, problem const& what);

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/problem.ipp>
#endif
