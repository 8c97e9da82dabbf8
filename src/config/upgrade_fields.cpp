#include "config/upgrade_fields.hpp"

namespace weir::config {
namespace {

/// protocol-name [ "/" protocol-version ] of RFC 9110 7.8.
std::string parse_protocol(std::string_view text) {
    auto const slash = text.find('/');
    try {
        auto name = parse_field_name(text.substr(0, slash)); // the same grammar: a token
        if (slash != text.npos)
            name += '/' + parse_field_name(text.substr(slash + 1));
        return name;
    } catch (value_error const&) {
        throw value_error('"' + std::string(text) + "\" is not the name of a protocol, such as \"websocket\"");
    }
}

/// HTTP and TLS begun in the middle of a connection would carry requests that nobody checks, limits or logs.
bool would_hide_requests(std::string_view protocol) noexcept {
    auto const name = protocol.substr(0, protocol.find('/'));
    return name == "h2c" || name == "h2" || name == "h3" || name == "http" || name == "tls";
}

} // namespace

void read_upgrades(reader& in, node const& value, std::vector<std::string>& out) {
    read_array(in, value, 0, [&](node const& element, std::size_t) {
        auto protocol = read_parsed(in, element, parse_protocol);
        if (!protocol)
            return;
        if (would_hide_requests(*protocol))
            return in.error(element, "\"" + *protocol + "\" would carry requests past every check and limit");
        if (std::find(out.begin(), out.end(), *protocol) != out.end())
            return in.error(element, "is there already");
        out.push_back(std::move(*protocol));
    });
    if (out.size() > max_upgrades)
        in.error(value, "at most " + std::to_string(max_upgrades) + " protocols");
}

} // namespace weir::config
