#pragma once

#include <weir/circuit/settings.hpp>
#include <weir/detail/config.hpp>
#include <weir/http/api_keys.hpp>
#include <weir/http/json_pointer.hpp>
#include <weir/http/jwt.hpp>
#include <weir/rate_limit/rule.hpp>
#include <weir/redis/url.hpp>

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

/// The configuration as the program uses it: checked, complete, with every reference resolved to an index. Immutable
/// once loaded; workers share it by pointer.
namespace weir::config {

using std::chrono::milliseconds;

/// How TLS is spoken to clients.
struct server_tls {
    /// PEM files: a certificate with those that lead to its authority, and its key.
    struct pair {
        std::string certificate, key;

        bool operator==(pair const&) const = default;
    };
    /// The first is shown to who asks for no name, or for one that none bears.
    std::vector<pair> certificates;

    bool operator==(server_tls const&) const = default;
};

/// How TLS is spoken to an upstream.
struct client_tls {
    /// Who is believed; empty: the authorities of the system.
    std::string ca_file;
    /// The name that the certificate must bear; empty: the target's host.
    std::string server_name;
    bool verify = true;
    /// What is shown, if anything.
    std::string certificate, key;
};

struct endpoint {
    /// An IP address, never a name: what to listen on must not depend on a resolver.
    std::string host;
    /// 0 takes a free port, which the program prints.
    std::uint16_t port = 0;
    /// None: in the clear.
    std::optional<server_tls> tls{};

    bool operator==(endpoint const&) const = default;
};

struct redis_settings {
    /// Empty: the embedded default, a private redis-server.
    std::string url;
    using place = std::pair<std::string, std::uint16_t>;
    /// How the servers belong together, where the url does not say it.
    redis::topology mode = redis::topology::standalone;
    /// Further nodes of a cluster.
    std::vector<place> nodes;
    /// For `topology::sentinel`: the group's name, who watches it, and what those want to know.
    std::string master;
    std::vector<place> sentinels;
    std::string sentinel_user, sentinel_password;
    milliseconds timeout{50};
    std::string key_prefix;
    /// Start even while Redis cannot be reached, deciding by each rule's `on_redis_failure` until it can.
    bool allow_down_at_start = false;

    bool operator==(redis_settings const&) const = default;
};

/// The decision service, for proxies and programs that ask before they serve.
struct decision_settings {
    endpoint address{"127.0.0.1", 9901};
    /// What `Authorization: Bearer` must carry in what programs send; empty: nothing is asked for.
    std::string token;
};

/// One way to learn who asks; the first that finds something wins.
struct identity_source {
    enum class type { header, ip, api_key, jwt };
    type from = type::ip;
    /// Lower case, for all but `ip`.
    std::string header = {};
    /// For `api_key` and `jwt`: who is found by no source up to this one is refused.
    bool required = false;
    /// The file of `keys` or `tokens`, as it was written.
    std::string file = {};
    std::shared_ptr<http::api_keys const> keys = {};
    std::shared_ptr<http::jwt_verifier const> tokens = {};
    /// Of `tokens`.
    http::jwt_rules rules = {};
};

/// Which part of the identity makes the user of a rule.
struct per_part {
    enum class type { user, ip, header, attribute, everyone };
    type from = type::user;
    /// Lower case, for `header`; the name of an `attribute`.
    std::string header;
};

/// What makes the endpoint of a rule.
enum class endpoint_scope { route, path, any };

struct limit {
    weir::rule rule;
    std::vector<per_part> per{per_part{}};
    endpoint_scope endpoint = endpoint_scope::route;
    std::uint64_t cost = 1;
    /// Lower case; the cost is read from this field when it is there and valid, else `cost`.
    std::string cost_header;
    /// Where the response says what was used: then the cost is reserved, and settled when the response has ended.
    std::optional<http::json_pointer> settle;
};

/// When calls of an upstream are refused.
struct circuit_breaker {
    std::string name;
    circuit::settings how;
};

/// What tells the locks of one name apart: each value has its own.
struct lock_key {
    enum class type { header, user, ip, attribute, path, everyone };
    type from = type::everyone;
    /// Lower case, for `header`; the name of an `attribute`.
    std::string name = {};
};

/// What requests hold while they are served, one at a time for each value of its key.
struct lock {
    /// What becomes of a request that has no value for the key: refused with 400, or served without the lock.
    enum class missing_key { reject, pass };

    std::string name;
    lock_key key;
    /// How long a request waits for another that holds it; 0: not at all.
    milliseconds wait{0};
    /// For how long it stays taken by a weir that died; it is renewed while a request is served.
    milliseconds ttl{30000};
    missing_key on_missing_key = missing_key::reject;
    /// While Redis is away: served without the lock, or refused with 503.
    bool pass_without_redis = false;
};

struct target {
    std::string host;
    std::uint16_t port = 80;
    /// `host[:port]` as it was written, for logs.
    std::string text;
    bool tls = false;
};

/// How the target of a request is chosen.
enum class balance { round_robin, least_request, consistent_hash };

/// What makes the key of `balance::consistent_hash`.
struct hash_source {
    enum class type { ip, path, header };
    type from = type::ip;
    /// Lower case, for `header`; without it the address is the key.
    std::string header;
};

/// When a request that may be repeated is sent once more.
struct retry_settings {
    /// How often a request is sent at most.
    unsigned attempts = 1;
    /// Of the requests, this share may be repeated.
    double budget = 0.2;
    /// Answers that are not passed on as long as there is an attempt left; all answers are where it is empty.
    std::vector<unsigned> statuses;
};

struct health_settings {
    std::string path;
    milliseconds interval{5000};
    milliseconds timeout{2000};
    /// So many in a row.
    unsigned unhealthy_after = 2;
    unsigned healthy_after = 2;
};

struct ejection_settings {
    /// Failures in a row; 0: never.
    unsigned after = 5;
    milliseconds lasts{10000};
    double max_share = 0.5;
};

struct fallback_answer {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
};

inline constexpr std::size_t max_targets = 64;

struct upstream {
    std::string name;
    /// At most `max_targets`.
    std::vector<target> targets;
    config::balance balance = config::balance::round_robin;
    hash_source hash_key;
    retry_settings retries;
    std::optional<health_settings> health;
    ejection_settings ejection;
    /// For targets with TLS.
    client_tls tls;
    /// What is answered instead of 502, 503 and 504 where there is no answer; one of them or none.
    std::optional<fallback_answer> fallback;
    /// Index into `upstreams`.
    std::optional<std::size_t> fallback_upstream;
    milliseconds connect_timeout{1000};
    milliseconds first_byte_timeout{30000};
    milliseconds idle_timeout{60000};
    /// From the beginning of one attempt, and from that of the first, to the head of the answer; 0: no such bound.
    milliseconds per_try_timeout{0};
    milliseconds total_timeout{0};
    /// Index into `circuits`: that of the upstream as a whole.
    std::optional<std::size_t> circuit;
    /// Index into `circuits`: each target has one of its own with these settings.
    std::optional<std::size_t> target_circuit;
};

inline constexpr std::size_t max_upgrades = 8;
inline constexpr std::size_t no_upstream = ~std::size_t{0};

/// How requests that bear an Idempotency-Key are executed once.
struct idempotency {
    /// A request without the field is refused.
    bool required = false;
    /// For how long an answer is kept.
    milliseconds keep = std::chrono::hours{24};
    /// The longest body of an answer that is kept, in bytes.
    std::size_t max_answer = std::size_t{64} << 10;
    /// Fields of the answer that are kept besides those that describe it; lower case.
    std::vector<std::string> fields;
    /// While Redis is away: executed however often it comes, or refused with 503.
    bool pass_without_redis = false;
};

/// How requests that are under way at the same time and ask for the same share one answer.
struct single_flight {
    /// Fields of the request by which answers may differ; lower case.
    std::vector<std::string> vary{"accept", "accept-encoding", "accept-language"};
    /// Whether what one user is answered may be given to another.
    bool between_users = false;
    /// How long a request waits for the answer of another before it is sent itself.
    milliseconds wait{30000};
    /// The longest body of an answer that is shared, in bytes.
    std::size_t max_answer = std::size_t{64} << 10;
};

struct route {
    std::string name;
    /// A path, or a prefix when `prefix` is set (written with a trailing `*`, kept without it).
    std::string path = "/";
    bool prefix = true;
    /// Empty: every method.
    std::vector<std::string> methods;
    /// Index into `upstreams`; `no_upstream` where nothing is forwarded, because nothing listens for it.
    std::size_t upstream = 0;
    /// Indices into `limits`, in the order written.
    std::vector<std::size_t> limits;
    /// Index into `locks`.
    std::optional<std::size_t> lock;
    std::optional<config::idempotency> idempotency;
    std::optional<config::single_flight> single_flight;
    /// Protocols to which a client may switch, in lower case; at most `max_upgrades`.
    std::vector<std::string> upgrades;
};

/// What one connection and one message may take.
struct http_settings {
    std::size_t max_request_line = 8 * 1024;
    std::size_t max_head = 32 * 1024;
    std::size_t max_fields = 100;
    std::uint64_t max_body = 64ULL * 1024 * 1024;
    milliseconds head_timeout{10000};
    milliseconds body_timeout{30000};
    milliseconds write_timeout{30000};
    milliseconds keep_alive{75000};
};

enum class rate_limit_headers { draft11, legacy, both, none };

struct config {
    /// Empty: no proxy, the decision service alone.
    std::vector<endpoint> listen;
    endpoint admin{"127.0.0.1", 9900};
    /// What `Authorization: Bearer` must carry on the admin side; empty: nothing is asked for.
    std::string admin_token;
    std::optional<decision_settings> decision;
    /// 0: one a core.
    unsigned workers = 0;
    redis_settings redis;
    std::vector<std::variant<asio::ip::network_v4, asio::ip::network_v6>> trusted_proxies;
    std::vector<identity_source> identity{identity_source{}};
    std::vector<limit> limits;
    std::vector<circuit_breaker> circuits;
    std::vector<lock> locks;
    std::vector<upstream> upstreams;
    /// In the order written: the first that matches serves.
    std::vector<route> routes;
    http_settings http;
    rate_limit_headers headers = rate_limit_headers::draft11;
    milliseconds drain{10000};
    /// Read the file again when it has changed, without being told.
    bool reload_on_change = false;
    /// `-`: standard output; empty: none; else a file, appended to.
    std::string access_log = "-";

    /// Index into `limits` of the rule of that name.
    std::optional<std::size_t> find_limit(std::string_view name) const noexcept;
    /// Whether anything of it is kept in Redis.
    bool needs_redis() const noexcept;
};

} // namespace weir::config
