#pragma once

#include <weir/http/client_address.hpp>
#include <weir/http/detail/bytes.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>

namespace weir::http {
namespace detail {

inline asio::ip::address unmapped(asio::ip::address const& address) noexcept {
    if (!address.is_v6() || !address.to_v6().is_v4_mapped())
        return address;
    auto const bytes = address.to_v6().to_bytes();
    return asio::ip::address_v4{{bytes[12], bytes[13], bytes[14], bytes[15]}};
}

/// Without allocation: this is done for every hop of every request behind a proxy.
inline std::optional<asio::ip::address> parse_address(std::string_view text) noexcept {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    if (text.empty() || text.size() >= buffer.size())
        return {};
    std::copy(text.begin(), text.end(), buffer.begin());
    if (text.find(':') == std::string_view::npos) {
        asio::ip::address_v4::bytes_type bytes;
        if (::inet_pton(AF_INET, buffer.data(), bytes.data()) != 1)
            return {};
        return asio::ip::address_v4{bytes};
    }
    asio::ip::address_v6::bytes_type bytes;
    if (::inet_pton(AF_INET6, buffer.data(), bytes.data()) != 1)
        return {};
    return unmapped(asio::ip::address_v6{bytes});
}

/// An address as forwarding fields write it: bare, in brackets, or with a port behind it; quoted in Forwarded.
inline std::optional<asio::ip::address> parse_node(std::string_view text) noexcept {
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
    std::string_view port;
    if (text.starts_with('[')) {
        auto const end = text.find(']');
        if (end == std::string_view::npos || text.find(':') > end)
            return {};
        port = text.substr(end + 1);
        text = text.substr(1, end - 1);
    } else if (auto const colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
        port = text.substr(colon);
        text = text.substr(0, colon);
    }
    bool const port_is_good =
        port.empty() || (port.size() >= 2 && port.size() <= 6 && port[0] == ':' && all_of(port.substr(1), digit_byte));
    return port_is_good ? parse_address(text) : std::nullopt;
}

/// The `for` of one element of Forwarded (RFC 7239 4); empty when it has none.
inline std::string_view forwarded_for(std::string_view element) noexcept {
    std::string_view found;
    while (!element.empty()) {
        auto const semicolon = element.find(';');
        auto const pair = trim(element.substr(0, semicolon));
        if (auto const equals = pair.find('='); equals_ignoring_case(pair.substr(0, equals), "for")) {
            if (equals == std::string_view::npos || !found.empty())
                return {};
            found = pair.substr(equals + 1);
        }
        element.remove_prefix(semicolon == std::string_view::npos ? element.size() : semicolon + 1);
    }
    return found;
}

/// Walks from hop to hop, away from the peer.
class hop_walk {
public:
    hop_walk(asio::ip::address peer, std::span<network const> trusted)
        : at_(std::move(peer))
        , trusted_(trusted) {}

    /// Goes through one field from its last element to its first. False when the walk has ended.
    bool through(std::string_view value, bool forwarded) noexcept {
        for (;;) {
            auto const comma = value.rfind(',');
            auto const element = trim(comma == std::string_view::npos ? value : value.substr(comma + 1));
            auto const next = parse_node(forwarded ? forwarded_for(element) : element);
            if (!next)
                return false;
            at_ = *next;
            if (!contains(trusted_, at_))
                return false;
            if (comma == std::string_view::npos)
                return true;
            value = value.substr(0, comma);
        }
    }

    asio::ip::address const& at() const noexcept { return at_; }

private:
    asio::ip::address at_;
    std::span<network const> trusted_;
};

/// Which field a walk follows: the first of the three that is there.
struct forwarding_field {
    std::string_view name;
    bool forwarded;
};

inline void walk_fields(std::span<field const> fields, hop_walk& walk) noexcept {
    static constexpr std::array<forwarding_field, 3> candidates{
        forwarding_field{"x-forwarded-for", false}, {"forwarded", true}, {"x-real-ip", false}};
    for (auto const& candidate : candidates) {
        bool found = false;
        for (auto each = fields.rbegin(); each != fields.rend(); ++each) {
            if (!equals_ignoring_case(each->name, candidate.name))
                continue;
            found = true;
            if (!walk.through(each->value, candidate.forwarded))
                return;
        }
        if (found)
            return;
    }
}

inline void append_key(asio::ip::address const& address, std::string& key) {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    if (address.is_v4()) {
        auto const bytes = address.to_v4().to_bytes();
        key += ::inet_ntop(AF_INET, bytes.data(), buffer.data(), buffer.size());
        return;
    }
    auto bytes = address.to_v6().to_bytes();
    std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
    key += ::inet_ntop(AF_INET6, bytes.data(), buffer.data(), buffer.size());
    key += "/64";
}

} // namespace detail

WEIR_DECL bool contains(std::span<network const> networks, asio::ip::address const& address) noexcept {
    auto const plain = detail::unmapped(address);
    for (auto const& each : networks) {
        if (auto const* v4 = std::get_if<asio::ip::network_v4>(&each)) {
            if (plain.is_v4() && (plain.to_v4().to_uint() & v4->netmask().to_uint()) == v4->network().to_uint())
                return true;
        } else if (auto const* v6 = std::get_if<asio::ip::network_v6>(&each); v6 != nullptr && plain.is_v6()) {
            auto const bytes = plain.to_v6().to_bytes(), other = v6->address().to_bytes();
            auto const length = v6->prefix_length();
            auto const whole = static_cast<std::ptrdiff_t>(length / 8);
            auto const rest = 8 - length % 8;
            if (std::equal(bytes.begin(), bytes.begin() + whole, other.begin()) &&
                (length % 8 == 0 || bytes[length / 8] >> rest == other[length / 8] >> rest))
                return true;
        }
    }
    return false;
}

WEIR_DECL void find_client(asio::ip::address const& peer, std::span<field const> fields,
                           std::span<network const> trusted, client_address& out) {
    detail::hop_walk walk{detail::unmapped(peer), trusted};
    out.peer_trusted = contains(trusted, peer);
    if (out.peer_trusted)
        detail::walk_fields(fields, walk);
    out.ip = walk.at();
    out.key.clear();
    detail::append_key(out.ip, out.key);
}

} // namespace weir::http
