#pragma once

#include <weir/redis/sentinel_replies.hpp>

#include <charconv>

namespace weir::redis {
namespace detail {

// The sentinels give an address without brackets, whatever its family, or a name.
inline std::optional<std::pair<std::string, std::uint16_t>> read_place(std::string_view host, std::string_view port) {
    std::uint16_t number = 0;
    auto const [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc{} || end != port.data() + port.size() || number == 0 || host.empty() || host.size() > 255)
        return std::nullopt;
    return std::pair{std::string(host), number};
}

} // namespace detail

WEIR_DECL std::optional<std::pair<std::string, std::uint16_t>> read_master_address(flat_reply const& reply) {
    using type = flat_reply::type;
    auto const& nodes = reply.nodes();
    if (nodes.size() != 3 || nodes[0].type != type::array || nodes[1].type != type::string ||
        nodes[2].type != type::string)
        return std::nullopt;
    return detail::read_place(reply.text(nodes[1]), reply.text(nodes[2]));
}

WEIR_DECL std::vector<std::pair<std::string, std::uint16_t>> read_sentinels(flat_reply const& reply) {
    using type = flat_reply::type;
    std::vector<std::pair<std::string, std::uint16_t>> result;
    auto const& nodes = reply.nodes();
    std::string_view host, port;
    auto const one_ends = [&] {
        if (auto place = detail::read_place(host, port))
            result.push_back(*std::move(place));
        host = port = {};
    };
    for (std::size_t i = 1; i < nodes.size(); ++i) {
        if (nodes[i].depth == 1)
            one_ends();
        // The fields of one sentinel: a name, its value, and so on.
        if (nodes[i].depth != 2 || nodes[i].type != type::string || i + 1 == nodes.size() ||
            nodes[i + 1].type != type::string || nodes[i + 1].depth != 2)
            continue;
        auto const name = reply.text(nodes[i]);
        auto const value = reply.text(nodes[++i]);
        if (name == "ip")
            host = value;
        else if (name == "port")
            port = value;
    }
    one_ends();
    return result;
}

WEIR_DECL bool is_switch_of(std::string_view payload, std::string_view master_name) {
    return payload.size() > master_name.size() && payload.starts_with(master_name) &&
           payload[master_name.size()] == ' ';
}

} // namespace weir::redis
