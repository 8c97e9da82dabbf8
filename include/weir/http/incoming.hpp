#pragma once

#include <weir/http/canonical_target.hpp>
#include <weir/http/client_address.hpp>

#include <boost/beast/http/message.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace weir::http {

/// A request to a Beast server as its filters see it. Valid while they are asked.
struct incoming {
    boost::beast::http::request_header<> const& request;
    client_address const& client;
    canonical_target const& target;
};

/// Text that tells requests apart, for a limit or a lock; none: it does not, or the request has no such thing.
using key_function = std::function<std::optional<std::string>(incoming const&)>;

/// Who asks: the address of IPv4, the /64 of IPv6; that of the client behind trusted proxies.
WEIR_DECL std::optional<std::string> by_address(incoming const& what);
/// The path in the form in which no spelling escapes its limit (`canonical_target::key`).
WEIR_DECL std::optional<std::string> by_path(incoming const& what);
/// All requests alike.
WEIR_DECL std::optional<std::string> together(incoming const& what);
/// The value of a field, none where it is missing, empty or there twice. What anybody may write: as many keys as its
/// writers please.
WEIR_DECL key_function by_field(std::string name);
/// The value of a field, or the address.
WEIR_DECL key_function by_field_or_address(std::string name);

/// Makes them, reusing its memory. Not for several threads.
class incoming_reader {
public:
    /// `trusted`: networks of the proxies in front that are believed about who asks.
    explicit incoming_reader(std::vector<network> trusted)
        : trusted_(std::move(trusted)) {}

    /// What a request from `peer` is to the filters; none, with `why`, where its target has no canonical form. Valid
    /// until the next call.
    WEIR_DECL std::optional<incoming> read(boost::beast::http::request_header<> const& request,
                                           asio::ip::address const& peer, refusal& why);

private:
    std::vector<network> const trusted_;
    std::vector<field> forwarding_;
    client_address client_;
    canonical_target target_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/incoming.ipp>
#endif
