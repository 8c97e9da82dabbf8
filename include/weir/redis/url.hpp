#pragma once

#include <weir/error.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::redis {

/// How to speak TLS to a server (`rediss://`). TLS 1.2 at least; the server's certificate and the name or address it is
/// reached by are verified unless that is switched off.
struct tls_settings {
    /// A PEM file, or a directory as of `openssl rehash`, of the authorities to trust; both empty: those of the system.
    std::string ca_file, ca_directory;
    /// PEM files by which the client shows who it is; both or neither.
    std::string certificate_file, key_file;
    /// The name that the server's certificate must bear, and that it is told (SNI); empty: the host of the address.
    std::string server_name;
    /// False: whoever answers is believed to be the server. For experiments alone.
    bool verify = true;

    friend bool operator==(tls_settings const&, tls_settings const&) = default;
};

/// How the servers behind an address belong together.
enum class topology {
    /// One server.
    standalone,
    /// A Redis Cluster: each command goes to the node that owns its keys.
    cluster,
    /// The master of a group that Redis Sentinels watch: the address is that of a sentinel, which is asked for it.
    sentinel,
};

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
    /// Only for `transport::tls`.
    tls_settings tls;
    redis::topology topology = redis::topology::standalone;
    /// Further nodes of a cluster, or further sentinels, to ask where the first is away; with its transport.
    std::vector<std::pair<std::string, std::uint16_t>> nodes;
    /// The name by which the sentinels know the group. `user` and `password` are those of its servers.
    std::string master_name;
    /// Those of the sentinels themselves; mostly they want none.
    std::string sentinel_user, sentinel_password;

    /// The address as a URL without user and password, fit for logs and messages: `redis://127.0.0.1:6379/0`,
    /// `unix:///run/redis.sock`.
    WEIR_DECL std::string display() const;
};

/// Reads `HOST:PORT`, an IPv6 address in brackets; nothing where the text is none. Thread safety: safe.
WEIR_DECL std::optional<std::pair<std::string, std::uint16_t>> parse_node(std::string_view text);

/// Reads `redis://`, `rediss://` (TLS) and `unix://` URLs: `redis://user:password@host:port/database`,
/// `unix://user:password@/path/redis.sock?db=database`; everything but the scheme and a host or path may be left out,
/// and user, password and path may be percent-encoded. The database may be given as `?db=` everywhere. `rediss://`
/// takes `cacert=FILE`, `cacertdir=DIRECTORY`, `cert=FILE`, `key=FILE`, `sni=NAME` and `verify=none` in the query: see
/// `tls_settings`. `mode=cluster` names a node of a cluster, and `node=HOST:PORT`, which may be repeated, further ones.
/// `mode=sentinel&master=NAME` names a sentinel, `node=` further ones, `sentinel_user=` and `sentinel_password=` what
/// they want to know.
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
