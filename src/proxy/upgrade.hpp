#pragma once

#include <weir/http/head.hpp>

#include <span>
#include <string>
#include <string_view>

// The switch to another protocol in the middle of a connection (RFC 9110 7.8).
namespace weir::proxy {

/// Writes into `out` the protocols that the client offers to switch to and that are `allowed` (in lower case), as the
/// list that the upstream is to be offered; empty: none. Every other offer is ignored, as the RFC lets a server do: one
/// in HTTP/1.0, one that Connection does not name, and one with a body, of which a part might pass for the other
/// protocol.
void choose_upgrades(http::request_head const& request, std::span<std::string const> allowed, std::string& out);

/// Whether a 101 does what it was asked to: it switches to one protocol of those `offered`, and announces no body.
bool is_agreed_switch(http::response_head const& response, std::string_view offered) noexcept;

} // namespace weir::proxy
