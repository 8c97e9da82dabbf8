#pragma once

#include <weir/http/head.hpp>

#include <string_view>

namespace weir::service {

/// The request that a proxy asks about.
struct original_request {
    std::string_view method;
    /// As the client sent it; give it to `http::canonicalize`.
    std::string_view target;
    /// Empty: found. Else why not, in static storage: the proxy that asks is not set up as it must be.
    std::string_view error;
};

/// Where `asked` was sent when a proxy puts the original target behind it, as Envoy does: `/authorize/v1/chat`.
inline constexpr std::string_view authorize_path = "/authorize";

/// A request target without scheme and authority.
std::string_view path_of(std::string_view target) noexcept;

/// Finds the request that an authorization request is about: its own method and what follows `/authorize` in its
/// target, or, at `/authorize` itself, X-Original-Method with X-Original-URI or X-Original-URL (nginx),
/// X-Forwarded-Method with X-Forwarded-Uri (Traefik, Caddy).
///
/// A proxy sets one family and lets the client's own fields of the other pass. So nothing is found where two fields
/// disagree or one stands twice: what a client adds can have it refused, never have it taken for another request.
///
/// Precondition: the path of the target begins with `/authorize`.
original_request find_original(http::request_head const& asked) noexcept;

} // namespace weir::service
