#pragma once

#include <weir/http/head.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include <span>
#include <string>
#include <variant>

namespace weir::http {

/// A network whose hosts are believed when they say who asked.
using network = std::variant<asio::ip::network_v4, asio::ip::network_v6>;

/// Who asks. Reuse the object: it keeps its capacity.
struct client_address {
    /// An IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) is given as IPv4.
    asio::ip::address ip;
    /// What a limit counts by: the address of IPv4, the /64 of IPv6 (`2001:db8:1:2::/64`), since one subscriber holds
    /// at least that many addresses.
    std::string key;
    /// The connection comes from a trusted proxy, so that what it forwarded may be added to rather than replaced.
    bool peer_trusted = false;
};

/// Whether an address lies in one of the networks; an IPv4 address mapped into IPv6 counts as IPv4.
WEIR_DECL bool contains(std::span<network const> networks, asio::ip::address const& address) noexcept;

/// Finds who asks. The peer itself unless it is trusted; then X-Forwarded-For, else Forwarded (RFC 7239), else
/// X-Real-IP, walked from the right to the first address that is not trusted, or to the last one when all are. An
/// element that is no address (`unknown`, `_hidden`, garbage) ends the walk at the hop that wrote it.
///
/// A trusted proxy must append to or replace X-Forwarded-For: one that passes it on untouched lets clients choose.
WEIR_DECL void find_client(asio::ip::address const& peer, std::span<field const> fields,
                           std::span<network const> trusted, client_address& out);

inline void find_client(asio::ip::address const& peer, request_head const& head, std::span<network const> trusted,
                        client_address& out) {
    find_client(peer, head.fields(), trusted, out);
}

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/client_address.ipp>
#endif
