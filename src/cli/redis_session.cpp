#include "cli/redis_session.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <tuple>

namespace weir::cli {
namespace {

constexpr char name_another[] = "name another with --redis or REDIS_URL";

std::string start_or_name(redis::address const& where) {
    if (where.via == redis::address::transport::unix_socket)
        return std::string("is redis-server running, and may you open its socket? Start it, or ") + name_another;
    return std::string("is redis-server running there? Start it, or ") + name_another;
}

/// What to do about an error of that kind.
std::string remedy_of(errc code, redis::address const& where) {
    switch (code) {
    case errc::no_auth:
        return "it wants a password: set REDIS_PASSWORD, or write it in the URL, redis://:PASSWORD@HOST";
    case errc::wrong_password:
        return where.password.empty() ? "set the password in the URL, redis://USER:PASSWORD@HOST, or in REDIS_PASSWORD"
                                      : "correct user and password in the URL or in REDIS_PASSWORD (a server without "
                                        "password accepts none)";
    case errc::tls_failed:
        return "in the URL, cacert=FILE names the authority to trust, cert=FILE and key=FILE show who Weir is";
    case errc::no_permission:
        return "give the user what Weir needs: ACL SETUSER USER ~rate:* +evalsha +script|load +client|setname +select "
               "+ping +time +get +mget +set +psetex +append +setrange +unlink; on a cluster +cluster|slots +asking, "
               "too";
    case errc::loading:
        return "it is reading its data from disk: try again when it has finished";
    case errc::redirected:
        return "it is a node of a cluster: write ?mode=cluster behind the URL, or \"mode\": \"cluster\" in the file";
    case errc::cluster_down:
        return "see CLUSTER INFO there; a server that is no cluster wants no mode=cluster";
    case errc::max_clients:
        return "raise maxclients, or find out who holds the connections with CLIENT LIST";
    case errc::out_of_memory:
        return "raise maxmemory, or remove keys";
    case errc::read_only:
        return "it is a replica: name its master";
    case errc::disk_error:
        return "its last snapshot failed: free the disk, then see CONFIG GET dir";
    case errc::busy:
        return "a script runs for too long there: SCRIPT KILL ends it";
    case errc::timed_out:
    case errc::timed_out_unsent:
        return "it is slow or unreachable: see weir doctor, or allow more with --timeout";
    case errc::protocol_error:
    case errc::unexpected_reply:
        return "is it a Redis at all? Check host and port";
    case errc::not_connected:
    case errc::connection_lost:
        return start_or_name(where);
    default:
        return "see weir doctor";
    }
}

asio::awaitable<error_code> connect(redis::client& client) {
    error_code ec;
    co_await client.async_connect(asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
}

} // namespace

redis::address redis_address(std::string const& url) {
    error_code ec;
    std::string why;
    auto where = redis::address_from_environment(url, ec, &why);
    if (ec)
        throw failure("redis_url", (url.empty() ? "REDIS_URL: " : "the URL of Redis: ") + why,
                      "write redis://[user:password@]host[:port][/database], rediss://... for TLS, or unix:///path");
    return where;
}

redis::address redis_address(config::redis_settings const& settings) {
    auto where = redis_address(settings.url);
    if (settings.mode != redis::topology::standalone)
        where.topology = settings.mode;
    if (settings.mode == redis::topology::sentinel) {
        if (where.via == redis::address::transport::unix_socket)
            throw failure("redis_url", "a sentinel is reached by TCP: a unix socket cannot name its servers",
                          "write redis://:PASSWORD@ or rediss://:PASSWORD@");
        // The url says how to speak to the servers; where they are, the sentinels.
        std::tie(where.host, where.port) = settings.sentinels.front();
        where.nodes.assign(settings.sentinels.begin() + 1, settings.sentinels.end());
        where.master_name = settings.master;
        where.sentinel_user = settings.sentinel_user;
        where.sentinel_password = settings.sentinel_password;
        return where;
    }
    where.nodes.insert(where.nodes.end(), settings.nodes.begin(), settings.nodes.end());
    if (where.topology == redis::topology::standalone && !where.nodes.empty())
        throw failure("redis_url", "/redis/nodes names further nodes of a cluster", "add \"mode\": \"cluster\"");
    if (where.topology == redis::topology::cluster && where.via == redis::address::transport::unix_socket)
        throw failure("redis_url", "the nodes of a cluster find each other by TCP: a unix socket cannot name one",
                      "write redis://HOST:PORT");
    return where;
}

failure redis_failure(error_code ec, std::string const& words, redis::address const& where) {
    auto known = ec.category() == error_category();
    auto code = known ? static_cast<errc>(ec.value()) : errc::server_error;
    auto message = words.empty() ? where.display() + ": " + ec.message() : words;
    return failure(known ? std::string(to_string(code)) : "redis", message, remedy_of(code, where));
}

redis_session::redis_session(redis::address where, std::chrono::milliseconds timeout,
                             std::vector<redis::script const*> scripts)
    : where_(std::move(where)) {
    redis::client_options options;
    options.server = where_;
    options.client_name = "weir-cli";
    options.timeout = timeout;
    options.connect_timeout = timeout;
    options.scripts = std::move(scripts);
    client_.emplace(context_, std::move(options));
    if (auto ec = run(connect(*client_)))
        throw redis_failure(ec, client_->last_error_text(), where_);
}

} // namespace weir::cli
