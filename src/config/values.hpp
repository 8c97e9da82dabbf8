#pragma once

#include "config/config.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

/// The small languages inside the configuration's strings and the command line's flags: one function each, so that a
/// file and a flag mean the same. All throw `value_error` with a sentence that says what is wrong and what is expected,
/// without naming the field. Thread safety: safe.
namespace weir::config {

class value_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The name among `known` that `name` was probably meant to be, or empty: at most a third of its letters differ.
std::string_view nearest_name(std::string_view name, std::vector<std::string_view> const& known);

/// "; did you mean \"x\"?" or, when nothing is near, "; known are a, b, c" (or nothing when none is known).
std::string suggest_name(std::string_view name, std::vector<std::string_view> const& known);

/// Replaces `${NAME}` by the environment variable and `${NAME:-default}` by the variable or, when it is unset or empty,
/// by the default. `$${` stands for a literal `${`. Errors: `${NAME}` without default for an unset variable; a `${`
/// without `}`; something that is no name.
std::string expand_environment(std::string_view text);

/// "250ms", "5s", "1m", "24h", "7d": a whole number and its unit. "0" alone needs no unit. At most 10 years.
milliseconds parse_duration(std::string_view text);

/// The shortest text that `parse_duration` reads as `value`.
std::string format_duration(milliseconds value);

/// "512", "64KiB", "10MB": bytes, with B, KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
std::uint64_t parse_size(std::string_view text);

/// The shortest text that `parse_size` reads as `value`.
std::string format_size(std::uint64_t value);

/// A whole number written in decimal digits, at most 2^64-1.
std::uint64_t parse_whole_number(std::string_view text);

/// A decimal number, whole or not, such as "0.5".
double parse_real(std::string_view text);

/// "127.0.0.1:8080", "[::1]:8080", ":8080" (all IPv4 addresses).
endpoint parse_endpoint(std::string_view text);

/// `host:port`, with brackets around an IPv6 address.
std::string format_endpoint(endpoint const& value);

balance parse_balance(std::string_view text);
std::string_view format_balance(balance value) noexcept;

/// "ip", "path", "header:x-session-id".
hash_source parse_hash_source(std::string_view text);
std::string format_hash_source(hash_source const& value);

/// "http://host[:port]" or "https://host[:port]". A path, a query and user information are errors.
target parse_target(std::string_view url);

using network = std::variant<asio::ip::network_v4, asio::ip::network_v6>;

/// "10.0.0.0/8", "fd00::/8", or one address. Bits set beyond the prefix length are an error.
network parse_network(std::string_view text);

std::string format_network(network const& value);

/// A header field's name (RFC 9110 section 5.1), lower-cased.
std::string parse_field_name(std::string_view text);

/// "user", "ip", "header:x-team", "attribute:team", "*".
per_part parse_per(std::string_view text);

std::string format_per(per_part const& value);

/// "response:/usage/total_tokens": where a response says what was used.
http::json_pointer parse_settle(std::string_view text);

/// "route", "path", "*".
endpoint_scope parse_endpoint_scope(std::string_view text);

std::string_view format_endpoint_scope(endpoint_scope value) noexcept;

/// The name of a rule, route or upstream, as it appears in metrics: 1 to 64 of `A-Z a-z 0-9 _ - .`
std::string parse_name(std::string_view text);

/// "100/1m", "10/s" or "NAME=100/1m": a rule of `limit` per `window`. Without a name it is called `100-per-1m`.
weir::rule parse_rule(std::string_view text);

weir::algorithm parse_algorithm(std::string_view text);

weir::on_redis_failure parse_on_redis_failure(std::string_view text);
std::string_view format_on_redis_failure(weir::on_redis_failure value) noexcept;

rate_limit_headers parse_rate_limit_headers(std::string_view text);
std::string_view format_rate_limit_headers(rate_limit_headers value) noexcept;

/// Which paths a route takes, as `route` keeps it.
struct path_pattern {
    std::string path;
    bool prefix = false;
};

/// A path in canonical form, or one that ends in `/*`.
path_pattern parse_pattern(std::string_view text);

std::string format_pattern(route const& value);

} // namespace weir::config
