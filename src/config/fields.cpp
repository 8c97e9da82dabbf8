#include "config/fields.hpp"

#include "config/circuit_fields.hpp"
#include "config/identity_fields.hpp"
#include "config/limit_fields.hpp"
#include "config/lock_fields.hpp"
#include "config/sharing_fields.hpp"
#include "config/upgrade_fields.hpp"
#include "config/upstream_fields.hpp"

#include <weir/rate_limit/charge.hpp>
#include <weir/redis/url.hpp>

#include <boost/beast/http/verb.hpp>

namespace weir::config {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// Each object of the language has a table of its fields. Those without a function belong to later versions: they are
// refused by name, because a protection that is written down and not there is worse than an error.

// --- listen, admin, redis -------------------------------------------------------------------------------------------

constexpr std::array listen_tls_fields{
    field<server_tls::pair>{"certificate", read_file_name<&server_tls::pair::certificate>, presence::required},
    field<server_tls::pair>{"key", read_file_name<&server_tls::pair::key>, presence::required},
};

/// One certificate, or several of which the name that a client asks for chooses.
void read_listen_tls(reader& in, node const& v, endpoint& out) {
    auto& all = out.tls.emplace().certificates;
    if (!v.is_array())
        return read_object(in, v, all.emplace_back(), listen_tls_fields);
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        read_object(in, element, all.emplace_back(), listen_tls_fields);
    });
}

constexpr std::array listen_fields{
    field<endpoint>{"address", [](reader& in, node const& v, endpoint& out) { set_parsed(in, v, out, parse_endpoint); },
                    presence::required},
    field<endpoint>{"tls", read_listen_tls},
};

void read_token(reader& in, node const& v, std::string& out) {
    auto text = read_text(in, v);
    if (!text)
        return;
    auto visible = std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c < 127; });
    if (!text->empty() && (text->size() < 16 || text->size() > 512 || !visible))
        in.error(v, "must be 16 to 512 visible ASCII characters: openssl rand -hex 32 makes a good one");
    out = std::move(*text);
}

constexpr std::array admin_fields{
    field<config>{"address",
                  [](reader& in, node const& v, config& out) { set_parsed(in, v, out.admin, parse_endpoint); }},
    field<config>{"token", [](reader& in, node const& v, config& out) { read_token(in, v, out.admin_token); }},
};

constexpr std::array decision_fields{
    field<decision_settings>{"address", [](reader& in, node const& v,
                                           decision_settings& out) { set_parsed(in, v, out.address, parse_endpoint); }},
    field<decision_settings>{"token",
                             [](reader& in, node const& v, decision_settings& out) { read_token(in, v, out.token); }},
};

void read_redis_url(reader& in, node const& v, redis_settings& out) {
    auto url = read_text(in, v);
    if (!url || url->empty())
        return;
    weir::error_code failed;
    std::string why;
    auto address = redis::parse_url(*url, failed, &why);
    if (failed)
        return in.error(v, why);
    out.url = std::move(*url);
}

void read_redis_mode(reader& in, node const& v, redis_settings& out) {
    auto mode = read_text(in, v);
    if (!mode)
        return;
    if (*mode == "cluster")
        out.mode = redis::topology::cluster;
    else if (*mode == "sentinel")
        out.mode = redis::topology::sentinel;
    else if (*mode != "standalone")
        in.error(v, "unknown value \"" + *mode + "\"" + suggest_name(*mode, {"standalone", "cluster", "sentinel"}));
}

template <std::vector<redis_settings::place> redis_settings::*Member>
void read_redis_places(reader& in, node const& v, redis_settings& out) {
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        auto text = read_text(in, element);
        if (!text)
            return;
        if (auto made = redis::parse_node(*text))
            (out.*Member).push_back(*std::move(made));
        else
            in.error(element, "must be HOST:PORT, an IPv6 address in brackets");
    });
}

template <std::string redis_settings::*Member>
void read_redis_text(reader& in, node const& v, redis_settings& out) {
    if (auto text = read_text(in, v))
        out.*Member = std::move(*text);
}

void read_key_prefix(reader& in, node const& v, redis_settings& out) {
    auto prefix = read_text(in, v);
    if (!prefix)
        return;
    auto plain =
        std::all_of(prefix->begin(), prefix->end(), [](char c) { return c > ' ' && c < 127 && c != '{' && c != '}'; });
    if (!plain || prefix->size() > 64)
        return in.error(v, "must be at most 64 visible ASCII characters other than braces");
    out.key_prefix = std::move(*prefix);
}

constexpr std::array redis_fields{
    field<redis_settings>{"url", read_redis_url},
    field<redis_settings>{"mode", read_redis_mode},
    field<redis_settings>{"timeout",
                          [](reader& in, node const& v, redis_settings& out) {
                              set_duration(in, v, out.timeout, milliseconds{1}, seconds{10});
                          }},
    field<redis_settings>{"key_prefix", read_key_prefix},
    field<redis_settings>{
        "allow_down_at_start",
        [](reader& in, node const& v, redis_settings& out) { set_boolean(in, v, out.allow_down_at_start); }},
    field<redis_settings>{"user", nullptr, {}, "write it in the url: redis://user:${REDIS_PASSWORD}@host"},
    field<redis_settings>{"password", nullptr, {}, "write it in the url: redis://:${REDIS_PASSWORD}@host"},
    field<redis_settings>{"tls", nullptr, {}, "write it in the url: rediss://host?cacert=FILE&cert=FILE&key=FILE"},
    field<redis_settings>{"nodes", read_redis_places<&redis_settings::nodes>},
    field<redis_settings>{"master", read_redis_text<&redis_settings::master>},
    field<redis_settings>{"sentinels", read_redis_places<&redis_settings::sentinels>},
    field<redis_settings>{"sentinel_user", read_redis_text<&redis_settings::sentinel_user>},
    field<redis_settings>{"sentinel_password", read_redis_text<&redis_settings::sentinel_password>},
};

void read_redis(reader& in, node const& v, config& out) {
    auto& redis = out.redis;
    read_object(in, v, redis, redis_fields);
    bool const about_sentinels = !redis.master.empty() || !redis.sentinels.empty() || !redis.sentinel_user.empty() ||
                                 !redis.sentinel_password.empty();
    if (redis.mode != redis::topology::sentinel) {
        if (about_sentinels)
            in.error(v, "master, sentinels, sentinel_user and sentinel_password are for \"mode\": \"sentinel\"");
        return;
    }
    if (redis.master.empty())
        in.error(v, "\"mode\": \"sentinel\" wants the name of the group: \"master\": \"mymaster\"");
    if (redis.sentinels.empty())
        in.error(v, "\"mode\": \"sentinel\" wants to know who watches: \"sentinels\": [\"HOST:26379\"]");
    if (!redis.nodes.empty())
        in.error(v, "nodes is for \"mode\": \"cluster\"; sentinels are named in \"sentinels\"");
}

// --- routes ---------------------------------------------------------------------------------------------------------

/// A route under construction and what it may refer to.
struct route_draft {
    route value;
    config const& whole;
};

void read_method(reader& in, node const& v, std::vector<std::string>& methods) {
    auto method = read_text(in, v);
    if (!method)
        return;
    if (*method == "CONNECT" || *method == "TRACE")
        return in.error(v, "\"" + *method + "\" is never served by this proxy");
    auto const& name = *method;
    if (boost::beast::http::string_to_verb({name.data(), name.size()}) == boost::beast::http::verb::unknown)
        return in.error(v, "unknown method \"" + *method + "\"" +
                               suggest_name(*method, {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}));
    if (std::find(methods.begin(), methods.end(), *method) != methods.end())
        return in.error(v, "\"" + *method + "\" is there already");
    methods.push_back(std::move(*method));
}

void read_route_path(reader& in, node const& v, route_draft& out) {
    if (auto pattern = read_parsed(in, v, parse_pattern)) {
        out.value.path = std::move(pattern->path);
        out.value.prefix = pattern->prefix;
    }
}

void read_route_upstream(reader& in, node const& v, route_draft& out) {
    auto index = read_reference(in, v, "upstream", out.whole.upstreams,
                                [](upstream const& u) -> std::string_view { return u.name; });
    out.value.upstream = index.value_or(0);
}

void read_route_limits(reader& in, node const& v, route_draft& out) {
    auto& limits = out.value.limits;
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        auto index = read_reference(in, element, "limit", out.whole.limits,
                                    [](limit const& l) -> std::string_view { return l.rule.name; });
        if (!index)
            return;
        if (std::find(limits.begin(), limits.end(), *index) != limits.end())
            return in.error(element, "is there already");
        limits.push_back(*index);
    });
    if (limits.size() > max_rules_per_check)
        in.error(v, "at most " + std::to_string(max_rules_per_check) + " limits on one route");
}

void read_route_lock(reader& in, node const& v, route_draft& out) {
    out.value.lock =
        read_reference(in, v, "lock", out.whole.locks, [](lock const& l) -> std::string_view { return l.name; });
}

constexpr std::array route_fields{
    field<route_draft>{
        "name", [](reader& in, node const& v, route_draft& out) { set_parsed(in, v, out.value.name, parse_name); },
        presence::required},
    field<route_draft>{"path", read_route_path, presence::required},
    field<route_draft>{"methods",
                       [](reader& in, node const& v, route_draft& out) {
                           read_array(in, v, 1, [&](node const& element, std::size_t) {
                               read_method(in, element, out.value.methods);
                           });
                       }},
    field<route_draft>{"upstream", read_route_upstream},
    field<route_draft>{"limits", read_route_limits},
    field<route_draft>{"lock", read_route_lock},
    field<route_draft>{
        "idempotency",
        [](reader& in, node const& v, route_draft& out) { read_idempotency(in, v, out.value.idempotency.emplace()); }},
    field<route_draft>{"upgrade",
                       [](reader& in, node const& v, route_draft& out) { read_upgrades(in, v, out.value.upgrades); }},
    field<route_draft>{"single_flight",
                       [](reader& in, node const& v, route_draft& out) {
                           read_single_flight(in, v, out.value.single_flight.emplace());
                       }},
    field<route_draft>{"circuit"},
    field<route_draft>{"cache"},
    field<route_draft>{"session"},
    field<route_draft>{"allow"},
    field<route_draft>{"deny"},
    field<route_draft>{"retries"},
    field<route_draft>{"timeouts", nullptr, {}, "set them on the upstream"},
};

// --- http -----------------------------------------------------------------------------------------------------------

template <milliseconds http_settings::*Member>
void read_http_timeout(reader& in, node const& v, http_settings& out) {
    set_duration(in, v, out.*Member, milliseconds{100}, hours{24});
}

constexpr std::array http_fields{
    field<http_settings>{
        "max_request_line",
        [](reader& in, node const& v, http_settings& out) { set_size(in, v, out.max_request_line, 256, 64 * 1024); }},
    field<http_settings>{"max_head", [](reader& in, node const& v,
                                        http_settings& out) { set_size(in, v, out.max_head, 1024, 1024 * 1024); }},
    field<http_settings>{"max_fields", [](reader& in, node const& v,
                                          http_settings& out) { set_number(in, v, out.max_fields, 1, 1000); }},
    field<http_settings>{"max_body", [](reader& in, node const& v,
                                        http_settings& out) { set_size(in, v, out.max_body, 0, 1ULL << 50); }},
    field<http_settings>{"head_timeout", read_http_timeout<&http_settings::head_timeout>},
    field<http_settings>{"body_timeout", read_http_timeout<&http_settings::body_timeout>},
    field<http_settings>{"write_timeout", read_http_timeout<&http_settings::write_timeout>},
    field<http_settings>{"keep_alive", read_http_timeout<&http_settings::keep_alive>},
};

// --- the document ---------------------------------------------------------------------------------------------------

void read_listen(reader& in, node const& v, config& out) {
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        read_object(in, element, out.listen.emplace_back(), listen_fields);
    });
}

void read_trusted_proxies(reader& in, node const& v, config& out) {
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        if (auto parsed = read_parsed(in, element, parse_network))
            out.trusted_proxies.push_back(*parsed);
    });
}

void read_identity(reader& in, node const& v, config& out) {
    out.identity.clear();
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        read_identity_source(in, element, out.identity.emplace_back());
    });
}

void read_limits(reader& in, node const& v, config& out) {
    read_map(in, v, [&](member const& m) {
        auto& l = out.limits.emplace_back();
        l.rule.name = m.key;
        read_limit(in, m.value, l);
    });
}

void read_circuits(reader& in, node const& v, config& out) {
    read_map(in, v, [&](member const& m) {
        auto& c = out.circuits.emplace_back();
        c.name = m.key;
        read_circuit(in, m.value, c);
    });
}

void read_locks(reader& in, node const& v, config& out) {
    read_map(in, v, [&](member const& m) {
        auto& l = out.locks.emplace_back();
        l.name = m.key;
        read_lock(in, m.value, l);
    });
}

void read_upstreams(reader& in, node const& v, config& out) {
    // Their names first, since one may fall back to another.
    for (auto const& m : v.members)
        out.upstreams.emplace_back().name = m.key;
    std::size_t next = 0;
    read_map(in, v, [&](member const& m) { read_upstream(in, m.value, out, out.upstreams[next++]); });
}

void read_routes(reader& in, node const& v, config& out) {
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        route_draft draft{{}, out};
        draft.value.upstream = no_upstream;
        bool const serves = !out.decision || !out.listen.empty();
        if (serves && element.is_object() && !find_member(element, "upstream"))
            in.error(element, missing("upstream"));
        draft.value.path.clear(); // what cannot be read must not seem to cover others
        read_object(in, element, draft, route_fields);
        out.routes.push_back(std::move(draft.value));
    });
}

void read_access_log(reader& in, node const& v, config& out) {
    auto text = read_text(in, v);
    if (text && text->empty())
        in.error(v, "must be a file, \"-\" (standard output) or \"off\"");
    else if (text)
        out.access_log = *text == "off" ? std::string{} : std::move(*text);
}

/// In this order, since upstreams refer to circuits, and routes to most of it.
constexpr std::array document_fields{
    field<config>{"$schema", [](reader& in, node const& v, config&) { read_text(in, v); }},
    field<config>{"listen", read_listen},
    field<config>{"admin", [](reader& in, node const& v, config& out) { read_object(in, v, out, admin_fields); }},
    field<config>{"decision", [](reader& in, node const& v,
                                 config& out) { read_object(in, v, out.decision.emplace(), decision_fields); }},
    field<config>{"workers", [](reader& in, node const& v, config& out) { set_number(in, v, out.workers, 0, 1024); }},
    field<config>{"redis", read_redis},
    field<config>{"trusted_proxies", read_trusted_proxies},
    field<config>{"identity", read_identity},
    field<config>{"limits", read_limits},
    field<config>{"circuits", read_circuits},
    field<config>{"locks", read_locks},
    field<config>{"upstreams", read_upstreams},
    field<config>{"routes", read_routes},
    field<config>{"http", [](reader& in, node const& v, config& out) { read_object(in, v, out.http, http_fields); }},
    field<config>{"rate_limit_headers", [](reader& in, node const& v,
                                           config& out) { set_parsed(in, v, out.headers, parse_rate_limit_headers); }},
    field<config>{"drain", [](reader& in, node const& v,
                              config& out) { set_duration(in, v, out.drain, milliseconds{0}, hours{1}); }},
    field<config>{"access_log", read_access_log},
    field<config>{"reload_on_change",
                  [](reader& in, node const& v, config& out) { set_boolean(in, v, out.reload_on_change); }},
    field<config>{"session"},
    field<config>{"sessions"},
    field<config>{"cache"},
    field<config>{"allow"},
    field<config>{"deny"},
    field<config>{"tls", nullptr, {}, "it belongs to one of \"listen\", or to an upstream"},
    field<config>{"reload", nullptr, {}, "send SIGHUP to have the file read again, or set \"reload_on_change\""},
};

} // namespace

void read_document(reader& in, node const& root, config& out) {
    // The decision service alone needs no proxy, and no route for programs that ask by name.
    bool const serves = !find_member(root, "decision") || find_member(root, "listen");
    for (std::string_view name : {"listen", "upstreams", "routes"})
        if (serves && root.is_object() && !find_member(root, name))
            in.error(root, missing(name));
    read_object(in, root, out, document_fields);
}

std::vector<object_fields> describe_fields() {
    std::vector<object_fields> all{
        describe("", document_fields),
        describe("listen", listen_fields),
        describe("listen_tls", listen_tls_fields),
        describe("admin", admin_fields),
        describe("decision", decision_fields),
        describe("redis", redis_fields),
        describe("route", route_fields),
        describe("http", http_fields),
    };
    for (auto* more : {&describe_identity_fields, &describe_limit_fields, &describe_circuit_fields,
                       &describe_lock_fields, &describe_sharing_fields, &describe_upstream_fields})
        for (auto& each : more())
            all.push_back(std::move(each));
    return all;
}

} // namespace weir::config
