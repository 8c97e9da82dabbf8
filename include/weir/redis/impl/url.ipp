#pragma once

#include <weir/redis/url.hpp>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <charconv>
#include <cstdlib>

namespace weir::redis {
namespace detail {

// Redis numbers its databases with an int; what the server really has is for the server to say.
inline bool parse_database(std::string_view text, int& database) {
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), database);
    return error == std::errc{} && end == text.data() + text.size() && database >= 0;
}

inline bool read_scheme(std::string_view scheme, address& to) {
    if (scheme == "redis")
        to.via = address::transport::tcp;
    else if (scheme == "rediss")
        to.via = address::transport::tls;
    else if (scheme == "unix")
        to.via = address::transport::unix_socket;
    else
        return false;
    return true;
}

// Each returns what is wrong, or nothing.
inline std::string read_tls_parameter(std::string_view key, std::string value, tls_settings& to) {
    if (key == "verify") {
        to.verify = value != "none";
        return value == "none" || value == "full" ? std::string{} : "verify is 'full' or 'none'";
    }
    auto* const field = key == "cacert"      ? &to.ca_file
                        : key == "cacertdir" ? &to.ca_directory
                        : key == "cert"      ? &to.certificate_file
                        : key == "key"       ? &to.key_file
                        : key == "sni"       ? &to.server_name
                                             : nullptr;
    if (!field)
        return "the query names '" + std::string(key) +
               "', but only db, mode, node, cacert, cacertdir, cert, key, sni and verify are "
               "known";
    if (value.empty() || value.find('\0') != std::string::npos)
        return "the query's '" + std::string(key) + "' is empty or no text";
    *field = std::move(value);
    return {};
}

// A parameter of any address; `known` is false where it is none.
inline std::string read_common_parameter(std::string_view key, std::string const& value, address& to, bool& known) {
    known = true;
    if (key == "db")
        return parse_database(value, to.database) ? "" : "the database '" + value + "' is not a number";
    if (key == "mode") {
        to.topology = value == "cluster"    ? topology::cluster
                      : value == "sentinel" ? topology::sentinel
                                            : topology::standalone;
        bool const named = to.topology != topology::standalone || value == "standalone";
        return named ? std::string{} : "the mode '" + value + "' is not standalone, cluster or sentinel";
    }
    if (auto* const text = key == "master"              ? &to.master_name
                           : key == "sentinel_user"     ? &to.sentinel_user
                           : key == "sentinel_password" ? &to.sentinel_password
                                                        : nullptr) {
        *text = value;
        return {};
    }
    known = key == "node";
    if (!known)
        return {};
    auto node = parse_node(value);
    if (!node)
        return "the node '" + value + "' is not HOST:PORT";
    to.nodes.push_back(*std::move(node));
    return {};
}

inline std::string read_query(boost::urls::url_view const& from, address& to) {
    for (auto const& param : from.params()) {
        bool known = false;
        auto wrong = read_common_parameter(param.key, param.value, to, known);
        if (!known && to.via != address::transport::tls)
            wrong = "the query names '" + std::string(param.key) + "', but only db, mode, node and master are known";
        else if (!known)
            wrong = read_tls_parameter(param.key, param.value, to.tls);
        if (!wrong.empty())
            return wrong;
    }
    if (to.topology == topology::standalone && !to.nodes.empty())
        return "further nodes are for mode=cluster and mode=sentinel";
    if (to.topology == topology::cluster && to.via == address::transport::unix_socket)
        return "the nodes of a cluster find each other by TCP: a unix socket cannot name one";
    if (to.topology == topology::sentinel && to.via == address::transport::unix_socket)
        return "a sentinel is reached by TCP: a unix socket cannot name one";
    if ((to.topology == topology::sentinel) == to.master_name.empty())
        return "mode=sentinel and master=NAME belong together";
    if (to.topology == topology::cluster && to.database != 0)
        return "a cluster has one database, number 0";
    if (to.tls.certificate_file.empty() != to.tls.key_file.empty())
        return "a client's certificate needs both, cert=FILE and key=FILE";
    return {};
}

inline std::string read_unix(boost::urls::url_view const& from, address& to) {
    if (from.has_authority() && !from.encoded_host().empty())
        return "a unix URL has no host: write unix:///path/to/redis.sock";
    to.host.clear();
    to.path = from.path();
    if (to.path.empty() || to.path == "/")
        return "the path of the socket is missing: write unix:///path/to/redis.sock";
    if (to.path.find('\0') != std::string::npos)
        return "the path of the socket contains a NUL character";
    if (to.path.size() >= 108) // sockaddr_un::sun_path, unix(7)
        return "the path of the socket is longer than the 107 characters that the system allows";
    return {};
}

inline std::string read_host(boost::urls::url_view const& from, address& to) {
    auto const host = from.host_address();
    if (!host.empty())
        to.host = host;
    if (from.has_port() && !from.port().empty()) {
        to.port = from.port_number();
        if (to.port == 0)
            return "the port '" + std::string(from.port()) + "' is not between 1 and 65535";
    }
    std::string_view path = from.encoded_path();
    path.remove_prefix(path.starts_with('/') ? 1 : 0);
    if (!path.empty() && !parse_database(path, to.database))
        return "the database '" + std::string(path) + "' is not a number";
    return {};
}

inline std::string read_url(std::string_view url, address& to) {
    auto const parsed = boost::urls::parse_uri(url);
    if (!parsed)
        return "it is not a URL: write redis://host:port, rediss://host:port or unix:///path; special characters in a "
               "password are percent-encoded";
    if (!read_scheme(parsed->scheme(), to))
        return "the scheme '" + std::string(parsed->scheme()) + "' is not redis, rediss or unix";
    if (!parsed->has_authority())
        return "the scheme must be followed by '//'";
    to.user = parsed->user();
    to.password = parsed->password();
    auto wrong = to.via == address::transport::unix_socket ? read_unix(*parsed, to) : read_host(*parsed, to);
    return wrong.empty() ? read_query(*parsed, to) : wrong;
}

} // namespace detail

WEIR_DECL std::optional<std::pair<std::string, std::uint16_t>> parse_node(std::string_view text) {
    auto const colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
        return std::nullopt;
    auto host = text.substr(0, colon);
    std::uint16_t port = 0;
    auto const* const last = text.data() + text.size();
    auto const [end, error] = std::from_chars(text.data() + colon + 1, last, port);
    if (error != std::errc{} || end != last || port == 0)
        return std::nullopt;
    bool const bracketed = host.front() == '[' && host.back() == ']';
    if (bracketed)
        host = host.substr(1, host.size() - 2);
    if (host.empty() || (!bracketed && host.find(':') != std::string_view::npos) ||
        host.find_first_of("/@[] ") != std::string_view::npos)
        return std::nullopt;
    return std::pair{std::string(host), port};
}

WEIR_DECL std::string address::display() const {
    if (via == transport::unix_socket)
        return "unix://" + path + (database ? "?db=" + std::to_string(database) : std::string{});
    auto const bracketed = host.find(':') == std::string::npos ? host : '[' + host + ']';
    return (via == transport::tls ? "rediss://" : "redis://") + bracketed + ':' + std::to_string(port) + '/' +
           std::to_string(database);
}

WEIR_DECL address parse_url(std::string_view url, error_code& ec, std::string* why) {
    address result;
    auto wrong = detail::read_url(url, result);
    ec = wrong.empty() ? error_code{} : error_code{errc::invalid_url};
    if (why)
        *why = std::move(wrong);
    return result;
}

WEIR_DECL address address_from_environment(std::string_view url, error_code& ec, std::string* why) {
    if (url.empty())
        if (auto const* from_environment = std::getenv("REDIS_URL"))
            url = from_environment;
    if (url.empty())
        url = "redis://127.0.0.1:6379";
    auto result = parse_url(url, ec, why);
    if (result.password.empty())
        if (auto const* password = std::getenv("REDIS_PASSWORD"))
            result.password = password;
    return result;
}

} // namespace weir::redis
