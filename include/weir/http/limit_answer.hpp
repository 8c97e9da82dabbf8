#pragma once

#include <weir/http/rate_limit_fields.hpp>
#include <weir/rate_limit/decision.hpp>

#include <span>
#include <string>
#include <string_view>

/// What a decision of the limits means for the answer to the request that it was made for.
namespace weir::http {

/// Appends the field lines by which the answer, whatever it is, tells of the quota. Rules on trial and those decided by
/// a list are not told of. Allocates only when `out` is full.
WEIR_DECL void append_rate_limit_fields(std::string& out, decision const& made, rate_limit_style style);

/// The status of a refusal: 403 where a list refused (tell nothing of quotas then), 503 where a rule could not be
/// checked (`decision::failed_closed`), else 429. Precondition: `made` refused, by one rule at least.
WEIR_DECL unsigned refusal_status(decision const& made) noexcept;

/// What happened, in a sentence without a full stop: which rule, and when the same request passes.
/// Precondition as above.
WEIR_DECL std::string refusal_detail(decision const& made);

/// Writes the names of the rules that refused for want of quota to `out`, as many as fit; returns how many.
WEIR_DECL std::size_t name_violated(decision const& made, std::span<std::string_view> out) noexcept;

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/limit_answer.ipp>
#endif
