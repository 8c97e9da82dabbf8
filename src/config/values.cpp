#include "config/values.hpp"

#include <weir/http/canonical_target.hpp>

#include <boost/asio/ip/address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace weir::config {
namespace {

constexpr milliseconds longest_duration = std::chrono::hours{24 * 366 * 10};

std::string in_quotes(std::string_view text) { return '"' + std::string(text) + '"'; }

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower_case(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return lower;
}

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

/// From the largest factor to the smallest, as formatting wants them.
constexpr std::array duration_units{
    unit{"d", 86'400'000}, unit{"h", 3'600'000}, unit{"m", 60'000}, unit{"s", 1'000}, unit{"ms", 1},
};
constexpr std::array size_units{
    unit{"GiB", 1ULL << 30},
    unit{"GB", 1'000'000'000},
    unit{"MiB", 1ULL << 20},
    unit{"MB", 1'000'000},
    unit{"KiB", 1ULL << 10},
    unit{"KB", 1'000},
    unit{"B", 1},
};

/// A whole number followed by one of `units`, or by nothing when `bare_factor` is not 0.
template <std::size_t N>
std::uint64_t parse_with_unit(std::string_view text, std::array<unit, N> const& units, std::uint64_t bare_factor,
                              std::string_view expected) {
    auto digits = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
    auto name = text.substr(digits);
    std::uint64_t factor = name.empty() ? bare_factor : 0;
    for (auto const& candidate : units)
        if (candidate.name == name)
            factor = candidate.factor;
    if (digits == 0 || factor == 0)
        throw value_error(in_quotes(text) + " is not " + std::string(expected));
    auto count = parse_whole_number(text.substr(0, digits));
    if (count > std::numeric_limits<std::uint64_t>::max() / factor)
        throw value_error(in_quotes(text) + " is too large");
    return count * factor;
}

/// The largest unit that divides `value`.
template <std::size_t N>
std::string format_with_unit(std::uint64_t value, std::array<unit, N> const& units) {
    for (auto const& candidate : units)
        if (value != 0 && value % candidate.factor == 0)
            return std::to_string(value / candidate.factor) + std::string(candidate.name);
    return "0";
}

/// The alternatives of a fixed vocabulary.
template <class T>
struct word {
    std::string_view name;
    T value;
};

template <class T, std::size_t N>
T parse_word(std::string_view text, std::array<word<T>, N> const& words) {
    std::vector<std::string_view> names;
    for (auto const& candidate : words) {
        if (candidate.name == text)
            return candidate.value;
        names.push_back(candidate.name);
    }
    throw value_error("unknown value " + in_quotes(text) + suggest_name(text, names));
}

template <class T, std::size_t N>
std::string_view format_word(T value, std::array<word<T>, N> const& words) noexcept {
    for (auto const& candidate : words)
        if (candidate.value == value)
            return candidate.name;
    return {};
}

constexpr std::array endpoint_scopes{
    word<endpoint_scope>{"route", endpoint_scope::route},
    word<endpoint_scope>{"path", endpoint_scope::path},
    word<endpoint_scope>{"*", endpoint_scope::any},
};
constexpr std::array algorithms{
    word<weir::algorithm>{"sliding_window", weir::algorithm::sliding_window},
    word<weir::algorithm>{"token_bucket", weir::algorithm::token_bucket},
    word<weir::algorithm>{"fixed_window", weir::algorithm::fixed_window},
    word<weir::algorithm>{"concurrency", weir::algorithm::concurrency},
};
constexpr std::array outage_policies{
    word<weir::on_redis_failure>{"local", weir::on_redis_failure::local},
    word<weir::on_redis_failure>{"open", weir::on_redis_failure::open},
    word<weir::on_redis_failure>{"closed", weir::on_redis_failure::closed},
};
constexpr std::array balances{
    word<balance>{"round_robin", balance::round_robin},
    word<balance>{"least_request", balance::least_request},
    word<balance>{"consistent_hash", balance::consistent_hash},
};
constexpr std::array header_styles{
    word<rate_limit_headers>{"draft11", rate_limit_headers::draft11},
    word<rate_limit_headers>{"legacy", rate_limit_headers::legacy},
    word<rate_limit_headers>{"both", rate_limit_headers::both},
    word<rate_limit_headers>{"none", rate_limit_headers::none},
};

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j)
        last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = std::min(now[j], before_last[j - 2] + 1);
        }
        before_last.swap(last);
        last.swap(now);
    }
    return last[b.size()];
}

std::uint16_t parse_port(std::string_view text, std::string_view whole) {
    unsigned port = 0;
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (text.empty() || failed != std::errc{} || end != text.data() + text.size() || port > 65535)
        throw value_error(in_quotes(whole) + ": the port must be a number from 0 to 65535");
    return static_cast<std::uint16_t>(port);
}

} // namespace

std::string_view nearest_name(std::string_view name, std::vector<std::string_view> const& known) {
    std::string_view nearest;
    auto best = std::numeric_limits<std::size_t>::max();
    if (name.size() > 128) // nobody means one of ours by that, and the table is quadratic
        return nearest;
    for (auto candidate : known) {
        auto distance = edit_distance(lower_case(name), lower_case(candidate));
        if (distance < best) {
            best = distance;
            nearest = candidate;
        }
    }
    return best <= std::max<std::size_t>(1, std::max(name.size(), nearest.size()) / 3) ? nearest : std::string_view{};
}

std::string suggest_name(std::string_view name, std::vector<std::string_view> const& known) {
    if (auto nearest = nearest_name(name, known); !nearest.empty())
        return "; did you mean " + in_quotes(nearest) + "?";
    if (known.empty())
        return {};
    std::string list = "; known: ";
    for (std::size_t i = 0; i < known.size(); ++i)
        list += (i ? ", " : "") + std::string(known[i]);
    return list;
}

std::string expand_environment(std::string_view text) {
    std::string expanded;
    for (;;) {
        auto dollar = text.find("${");
        expanded += text.substr(0, dollar);
        if (dollar == text.npos)
            return expanded;
        if (dollar > 0 && text[dollar - 1] == '$') { // "$${": the first dollar is the escape, already copied
            expanded += '{';
            text.remove_prefix(dollar + 2);
            continue;
        }
        auto end = text.find('}', dollar);
        if (end == text.npos)
            throw value_error("\"${\" without \"}\" (write \"$${\" for the characters themselves)");
        auto inner = text.substr(dollar + 2, end - dollar - 2);
        auto separator = inner.find(":-");
        std::string name(inner.substr(0, separator));
        auto valid = !name.empty() && !is_digit(name.front()) && std::all_of(name.begin(), name.end(), [](char c) {
            return is_letter(c) || is_digit(c) || c == '_';
        });
        if (!valid)
            throw value_error(in_quotes(name) + " is not the name of an environment variable");
        auto const* value = std::getenv(name.c_str());
        if (separator != inner.npos)
            expanded += value && *value ? std::string_view(value) : inner.substr(separator + 2);
        else if (value)
            expanded += value;
        else
            throw value_error(std::string("the environment variable ")
                                  .append(name)
                                  .append(" is not set: set it, or write ${")
                                  .append(name)
                                  .append(":-default}"));
        text.remove_prefix(end + 1);
    }
}

milliseconds parse_duration(std::string_view text) {
    auto value = text == "0" ? 0
                             : parse_with_unit(text, duration_units, 0,
                                               "a duration: write a whole number and a unit, such as \"250ms\", "
                                               "\"5s\", \"1m\", \"24h\" or \"7d\"");
    if (value > static_cast<std::uint64_t>(longest_duration.count()))
        throw value_error(in_quotes(text) + " is longer than ten years");
    return milliseconds{value};
}

std::string format_duration(milliseconds value) {
    return format_with_unit(static_cast<std::uint64_t>(value.count()), duration_units);
}

std::uint64_t parse_size(std::string_view text) {
    return parse_with_unit(text, size_units, 1,
                           "a size: write a whole number and a unit, such as \"512B\", \"64KiB\" or \"10MB\"");
}

std::string format_size(std::uint64_t value) { return format_with_unit(value, size_units); }

std::uint64_t parse_whole_number(std::string_view text) {
    std::uint64_t value = 0;
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed == std::errc::result_out_of_range)
        throw value_error(in_quotes(text) + " is too large");
    if (text.empty() || failed != std::errc{} || end != text.data() + text.size())
        throw value_error(in_quotes(text) + " is not a whole number");
    return value;
}

double parse_real(std::string_view text) {
    double value = 0;
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (text.empty() || failed != std::errc{} || end != text.data() + text.size())
        throw value_error(in_quotes(text) + " is not a number");
    return value;
}

endpoint parse_endpoint(std::string_view text) {
    auto colon = text.rfind(':');
    auto host = text.substr(0, colon);
    auto bracketed = host.starts_with('[') && host.ends_with(']');
    if (colon == text.npos || (!bracketed && host.find(':') != host.npos))
        throw value_error(in_quotes(text) +
                          " is not an address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"");
    if (bracketed)
        host = host.substr(1, host.size() - 2);
    boost::system::error_code failed;
    auto address = asio::ip::make_address(host.empty() ? "0.0.0.0" : std::string(host), failed);
    if (failed || address.is_v6() != bracketed)
        throw value_error(in_quotes(text) + ": " + in_quotes(host) +
                          " is not an IP address (names are not resolved here: write 127.0.0.1 for localhost)");
    return {address.to_string(), parse_port(text.substr(colon + 1), text)};
}

std::string format_endpoint(endpoint const& value) {
    auto port = std::to_string(value.port);
    return value.host.find(':') == std::string::npos ? value.host + ':' + port : '[' + value.host + "]:" + port;
}

target parse_target(std::string_view url) {
    auto parsed = boost::urls::parse_uri(boost::core::string_view(url.data(), url.size()));
    if (!parsed || parsed->host().empty())
        throw value_error(in_quotes(url) + " is not the address of an upstream, such as \"http://127.0.0.1:9000\"");
    auto const& parts = *parsed;
    bool const secure = parts.scheme() == "https";
    if (!secure && parts.scheme() != "http")
        throw value_error(in_quotes(url) + ": an upstream's address starts with http:// or https://");
    if (parts.has_userinfo())
        throw value_error("credentials in an upstream's address are not supported");
    auto path = parts.encoded_path();
    if ((!path.empty() && path != "/") || parts.has_query() || parts.has_fragment())
        throw value_error(in_quotes(url) +
                          ": only a host and a port: the path and query of a request are passed on as " + "they are");
    target result;
    result.tls = secure;
    result.port = secure ? 443 : 80;
    auto host = parts.encoded_host_address();
    result.host.assign(host.data(), host.size());
    auto host_and_port = parts.encoded_host_and_port();
    result.text.assign(host_and_port.data(), host_and_port.size());
    if (parts.has_port())
        result.port = parse_port({parts.port().data(), parts.port().size()}, url);
    if (result.port == 0)
        throw value_error(in_quotes(url) + ": port 0 cannot be connected to");
    return result;
}

network parse_network(std::string_view text) {
    auto slash = text.find('/');
    boost::system::error_code failed;
    auto address = asio::ip::make_address(std::string(text.substr(0, slash)), failed);
    if (failed)
        throw value_error(in_quotes(text) + " is not an IP address or network, such as \"10.0.0.0/8\" or \"fd00::/8\"");
    std::uint64_t longest = address.is_v4() ? 32 : 128;
    auto length = slash == text.npos ? longest : parse_whole_number(text.substr(slash + 1));
    if (length > longest)
        throw value_error(in_quotes(text) + ": the prefix length is at most " + std::to_string(longest));
    auto check = [&](auto value) -> network {
        if (value.canonical() != value)
            throw value_error(in_quotes(text) + ": bits are set beyond the prefix; the network is " +
                              value.canonical().to_string());
        return value;
    };
    auto prefix = static_cast<unsigned short>(length);
    return address.is_v4() ? check(asio::ip::network_v4(address.to_v4(), prefix))
                           : check(asio::ip::network_v6(address.to_v6(), prefix));
}

std::string format_network(network const& value) {
    return std::visit([](auto const& concrete) { return concrete.to_string(); }, value);
}

std::string parse_field_name(std::string_view text) {
    static constexpr std::string_view punctuation = "!#$%&'*+-.^_`|~";
    auto valid = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_letter(c) || is_digit(c) || punctuation.find(c) != punctuation.npos;
    });
    if (!valid)
        throw value_error(in_quotes(text) + " is not the name of a header field");
    return lower_case(text);
}

per_part parse_per(std::string_view text) {
    if (text == "user")
        return {per_part::type::user, {}};
    if (text == "ip")
        return {per_part::type::ip, {}};
    if (text == "*")
        return {per_part::type::everyone, {}};
    if (text.starts_with("header:"))
        return {per_part::type::header, parse_field_name(text.substr(7))};
    if (text.starts_with("attribute:") && http::is_identity_text(text.substr(10)))
        return {per_part::type::attribute, std::string(text.substr(10))};
    throw value_error("unknown value " + in_quotes(text) +
                      suggest_name(text, {"user", "ip", "*", "header:NAME", "attribute:NAME"}));
}

balance parse_balance(std::string_view text) { return parse_word(text, balances); }
std::string_view format_balance(balance value) noexcept { return format_word(value, balances); }

hash_source parse_hash_source(std::string_view text) {
    if (text == "ip")
        return {hash_source::type::ip, {}};
    if (text == "path")
        return {hash_source::type::path, {}};
    if (text.starts_with("header:"))
        return {hash_source::type::header, parse_field_name(text.substr(7))};
    throw value_error("unknown value " + in_quotes(text) + suggest_name(text, {"ip", "path", "header:NAME"}));
}

std::string format_hash_source(hash_source const& value) {
    switch (value.from) {
    case hash_source::type::path:
        return "path";
    case hash_source::type::header:
        return "header:" + value.header;
    case hash_source::type::ip:
        break;
    }
    return "ip";
}

std::string format_per(per_part const& value) {
    switch (value.from) {
    case per_part::type::user:
        return "user";
    case per_part::type::ip:
        return "ip";
    case per_part::type::header:
        return "header:" + value.header;
    case per_part::type::attribute:
        return "attribute:" + value.header;
    case per_part::type::everyone:
        break;
    }
    return "*";
}

http::json_pointer parse_settle(std::string_view text) {
    constexpr std::string_view prefix = "response:";
    if (!text.starts_with(prefix))
        throw value_error('"' + std::string(text) +
                          "\" is no place in a response: write \"response:\" and a JSON pointer, such as "
                          "\"response:/usage/total_tokens\"");
    try {
        return http::json_pointer(text.substr(prefix.size()));
    } catch (std::invalid_argument const& e) {
        throw value_error('"' + std::string(text) + "\": " + e.what());
    }
}

endpoint_scope parse_endpoint_scope(std::string_view text) { return parse_word(text, endpoint_scopes); }
std::string_view format_endpoint_scope(endpoint_scope value) noexcept { return format_word(value, endpoint_scopes); }

std::string parse_name(std::string_view text) {
    auto valid = !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '.';
    });
    if (!valid)
        throw value_error(in_quotes(text) + " is not a valid name: 1 to 64 of A-Z a-z 0-9 _ - .");
    return std::string(text);
}

weir::rule parse_rule(std::string_view text) {
    weir::rule rule;
    auto equals = text.find('=');
    auto amount = equals == text.npos ? text : text.substr(equals + 1);
    auto slash = amount.find('/');
    if (slash == amount.npos)
        throw value_error(in_quotes(text) + " is not a limit: write a number and a window, such as \"100/1m\"");
    rule.limit = parse_whole_number(amount.substr(0, slash));
    auto window = std::string(amount.substr(slash + 1));
    if (!window.empty() && !is_digit(window.front()))
        window.insert(0, 1, '1'); // "10/s"
    rule.window = parse_duration(window);
    if (rule.limit > max_limit)
        throw value_error(in_quotes(text) + ": the largest limit is " + std::to_string(max_limit));
    if (rule.window < min_window || rule.window > max_window)
        throw value_error(in_quotes(text) + ": the window must be from " + format_duration(min_window) + " to " +
                          format_duration(max_window));
    rule.name = equals == text.npos ? std::to_string(rule.limit) + "-per-" + format_duration(rule.window)
                                    : parse_name(text.substr(0, equals));
    return rule;
}

weir::algorithm parse_algorithm(std::string_view text) { return parse_word(text, algorithms); }

weir::on_redis_failure parse_on_redis_failure(std::string_view text) { return parse_word(text, outage_policies); }
std::string_view format_on_redis_failure(weir::on_redis_failure value) noexcept {
    return format_word(value, outage_policies);
}

rate_limit_headers parse_rate_limit_headers(std::string_view text) { return parse_word(text, header_styles); }
std::string_view format_rate_limit_headers(rate_limit_headers value) noexcept {
    return format_word(value, header_styles);
}

path_pattern parse_pattern(std::string_view text) {
    if (!text.starts_with('/'))
        throw value_error(in_quotes(text) + " is not a path: it starts with \"/\"");
    auto prefix = text.ends_with("/*");
    auto path = prefix ? text.substr(0, text.size() - 1) : text;
    if (path.find('*') != path.npos)
        throw value_error(in_quotes(text) + ": \"*\" may only stand at the end, after a \"/\"");
    std::string key;
    bool is_prefix = false;
    http::refusal why;
    if (!http::canonicalize_pattern(text, key, is_prefix, why))
        throw value_error(in_quotes(text) + " is not the path of a route: " + std::string(why.reason));
    return {std::string(path), prefix};
}

std::string format_pattern(route const& value) { return value.prefix ? value.path + '*' : value.path; }

} // namespace weir::config
