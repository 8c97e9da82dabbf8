#pragma once

#include <weir/redis/cluster_map.hpp>
#include <weir/redis/hash_slot.hpp>

#include <algorithm>
#include <charconv>

namespace weir::redis {
namespace detail {

inline bool is_port(std::int64_t value) noexcept { return value >= 1 && value <= 65535; }
inline bool is_slot(std::int64_t value) noexcept { return value >= 0 && value < static_cast<std::int64_t>(slot_count); }

// The number that the text is, or -1.
inline std::int64_t whole_number(std::string_view text) noexcept {
    std::int64_t value = -1;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    return ec == std::errc{} && end == text.data() + text.size() ? value : -1;
}

// Where a node of CLUSTER SLOTS is that begins at `at`: host, port, id, [name, value, ...]. Null: it does not say.
inline std::optional<std::string_view> host_of_node(flat_reply const& reply, std::size_t at,
                                                    std::string_view asked_host) {
    using type = flat_reply::type;
    auto const& nodes = reply.nodes();
    auto const text = [&](std::size_t i) {
        return nodes[i].type == type::nil ? std::string_view{} : reply.text(nodes[i]);
    };
    auto host = text(at + 1);
    if (host == "?") {
        auto more = at + 4; // the array of names and values
        if (nodes[at].value < 4 || more >= nodes.size() || nodes[more].type != type::array)
            return std::nullopt;
        auto const end = std::min(nodes.size() - 1, more + static_cast<std::size_t>(nodes[more].value));
        for (++more; more < end && text(more) != "ip"; more += 2) {
        }
        if (more >= end || nodes[more + 1].type != type::string)
            return std::nullopt;
        host = text(more + 1);
        if (host == "?")
            return std::nullopt;
    }
    return host.empty() ? asked_host : host;
}

// One element of CLUSTER SLOTS, whose nodes begin at `at`: first, last, [host, port, ...], replicas.
inline bool read_range(flat_reply const& reply, std::size_t at, std::string_view asked_host,
                       std::vector<slot_range>& to) {
    using type = flat_reply::type;
    auto const& nodes = reply.nodes();
    if (at + 5 >= nodes.size() || nodes[at].value < 3 || nodes[at + 1].type != type::integer ||
        nodes[at + 2].type != type::integer || nodes[at + 3].type != type::array || nodes[at + 3].value < 2 ||
        nodes[at + 5].type != type::integer)
        return false;
    auto const first = nodes[at + 1].value, last = nodes[at + 2].value, port = nodes[at + 5].value;
    auto const& host = nodes[at + 4];
    if (!is_slot(first) || !is_slot(last) || first > last || !is_port(port) ||
        (host.type != type::string && host.type != type::nil))
        return false;
    if (auto const name = host_of_node(reply, at + 3, asked_host))
        to.push_back({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last), std::string(*name),
                      static_cast<std::uint16_t>(port)});
    return true;
}

} // namespace detail

WEIR_DECL std::optional<std::vector<slot_range>> read_cluster_slots(flat_reply const& reply,
                                                                    std::string_view asked_host) {
    auto const& nodes = reply.nodes();
    if (nodes.empty() || nodes[0].type != flat_reply::type::array)
        return std::nullopt;
    std::vector<slot_range> ranges;
    for (std::size_t at = 1; at < nodes.size(); ++at)
        if (nodes[at].depth == 1 &&
            (nodes[at].type != flat_reply::type::array || !detail::read_range(reply, at, asked_host, ranges)))
            return std::nullopt;
    return ranges;
}

WEIR_DECL std::optional<redirection> read_redirection(std::string_view text, std::string_view from_host) {
    redirection result;
    result.ask = text.starts_with("ASK ");
    if (!result.ask && !text.starts_with("MOVED "))
        return std::nullopt;
    text.remove_prefix(result.ask ? 4 : 6);
    auto const space = text.find(' ');
    auto const colon = text.rfind(':'); // an IPv6 address has colons of its own
    if (space == std::string_view::npos || colon == std::string_view::npos || colon < space)
        return std::nullopt;
    auto const slot = detail::whole_number(text.substr(0, space));
    auto const port = detail::whole_number(text.substr(colon + 1));
    auto const host = text.substr(space + 1, colon - space - 1);
    if (!detail::is_slot(slot) || !detail::is_port(port) || host == "?")
        return std::nullopt;
    result.slot = static_cast<std::uint16_t>(slot);
    result.port = static_cast<std::uint16_t>(port);
    result.host = host.empty() ? from_host : host;
    return result;
}

} // namespace weir::redis
