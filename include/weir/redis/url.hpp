#pragma once

#include <weir/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::redis {

/// Where a Redis server is, and as whom to speak to it.
struct address {
    enum class transport { tcp, unix_socket, tls };

    transport via = transport::tcp;
    /// A name or an IPv4 or IPv6 address without brackets; unused for a unix socket.
    std::string host = "127.0.0.1";
    std::uint16_t port = 6379;
    /// The path of the unix socket; empty otherwise.
    std::string path;
    /// The ACL user; empty stands for `default`.
    std::string user;
    /// Empty: AUTH is not sent.
    std::string password;
    int database = 0;

    /// The address as a URL without user and password, fit for logs and messages: `redis://127.0.0.1:6379/0`,
    /// `unix:///run/redis.sock`.
    WEIR_DECL std::string display() const;
};

/// Reads `redis://`, `rediss://` (TLS) and `unix://` URLs: `redis://user:password@host:port/database`,
/// `unix://user:password@/path/redis.sock?db=database`; everything but the scheme and a host or path may be left out,
/// and user, password and path may be percent-encoded. The database may be given as `?db=` everywhere.
///
/// Sets `ec` to `errc::invalid_url` where the text is no such URL; `why`, where given, then says in words what is
/// wrong with it, without repeating user or password. Thread safety: safe.
WEIR_DECL address parse_url(std::string_view url, error_code& ec, std::string* why = nullptr);

/// The address in `url`, or, where that is empty, the one in the environment variable `REDIS_URL`, or
/// `redis://127.0.0.1:6379`. Where it names no password, `REDIS_PASSWORD` gives one.
///
/// Errors as `parse_url`. Thread safety: safe as long as no other thread changes the environment.
WEIR_DECL address address_from_environment(std::string_view url, error_code& ec, std::string* why = nullptr);

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/url.ipp>
#endif
