#include "config/show.hpp"

#include "config/lock_fields.hpp"
#include "config/values.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>

#include <algorithm>

namespace weir::config {
namespace {

using json = nlohmann::ordered_json;

constexpr char masked[] = "***";

template <class List, class Show>
json show_list(List const& list, Show show_one) {
    auto array = json::array();
    for (auto const& element : list)
        array.push_back(show_one(element));
    return array;
}

json show_redis(redis_settings const& value) {
    json shown;
    if (!value.url.empty())
        shown["url"] = mask_url(value.url);
    auto const format_place = [](auto const& each) { return format_endpoint({each.first, each.second}); };
    shown["mode"] = value.mode == redis::topology::cluster    ? "cluster"
                    : value.mode == redis::topology::sentinel ? "sentinel"
                                                              : "standalone";
    if (!value.nodes.empty())
        shown["nodes"] = show_list(value.nodes, format_place);
    if (value.mode == redis::topology::sentinel) {
        shown["master"] = value.master;
        shown["sentinels"] = show_list(value.sentinels, format_place);
        if (!value.sentinel_user.empty())
            shown["sentinel_user"] = value.sentinel_user;
        if (!value.sentinel_password.empty())
            shown["sentinel_password"] = masked;
    }
    shown["timeout"] = format_duration(value.timeout);
    shown["key_prefix"] = value.key_prefix;
    shown["allow_down_at_start"] = value.allow_down_at_start;
    return shown;
}

json show_identity(identity_source const& value) {
    if (value.from == identity_source::type::ip)
        return "ip";
    if (value.from == identity_source::type::header)
        return {{"header", value.header}};
    if (value.from == identity_source::type::api_key)
        return {{"api_key", {{"header", value.header}, {"keys_file", value.file}, {"required", value.required}}}};
    json shown{{"header", value.header}, {"jwks_file", value.file}, {"user", value.rules.user}};
    auto const add = [&](char const* name, std::vector<std::string> const& list) {
        if (!list.empty())
            shown[name] = list;
    };
    add("issuer", value.rules.issuers);
    add("audience", value.rules.audiences);
    add("attributes", value.rules.attributes);
    shown["leeway"] = format_duration(value.rules.leeway);
    shown["required"] = value.required;
    return {{"jwt", shown}};
}

json show_override(rule_override const& value) {
    json shown;
    if (value.limit)
        shown["limit"] = *value.limit;
    if (value.window)
        shown["window"] = format_duration(*value.window);
    if (value.burst)
        shown["burst"] = *value.burst;
    return shown;
}

json show_limit(limit const& value) {
    json shown;
    shown["per"] = show_list(value.per, format_per);
    shown["endpoint"] = format_endpoint_scope(value.endpoint);
    auto const& rule = value.rule;
    shown["algorithm"] = to_string(rule.algorithm);
    shown["limit"] = rule.limit;
    shown["window"] = format_duration(rule.window);
    if (rule.algorithm == algorithm::token_bucket && rule.limit > 0)
        shown["burst"] = terms_of(rule).burst;
    json const plain = value.cost_header.empty() ? json(value.cost) : json("header:" + value.cost_header);
    shown["cost"] = plain;
    if (value.settle)
        shown["cost"] = {{"reserve", plain}, {"settle", "response:" + value.settle->text()}};
    shown["on_redis_failure"] = format_on_redis_failure(rule.on_redis_failure);
    shown["shadow"] = rule.shadow;
    if (rule.max_wait.count() > 0)
        shown["wait"] = format_duration(rule.max_wait);
    if (rule.lease.count() > 0)
        shown["lease"] = format_duration(rule.lease);
    if (rule.penalty.after > 0)
        shown["penalty"] = {{"after", rule.penalty.after}, {"block", format_duration(rule.penalty.block)}};
    for (auto const& [user, terms] : rule.overrides)
        shown["overrides"][user] = show_override(terms);
    if (!rule.allow.empty())
        shown["allow"] = rule.allow;
    if (!rule.deny.empty())
        shown["deny"] = rule.deny;
    return shown;
}

json show_listen(endpoint const& value) {
    json shown{{"address", format_endpoint(value)}};
    if (value.tls)
        shown["tls"] = show_list(value.tls->certificates, [](server_tls::pair const& p) {
            return json{{"certificate", p.certificate}, {"key", p.key}};
        });
    return shown;
}

json show_lock(lock const& value) {
    json shown{{"key", format_lock_key(value.key)}};
    shown["on_busy"] = value.wait.count() > 0 ? "wait" : "reject";
    shown["wait"] = format_duration(value.wait);
    shown["ttl"] = format_duration(value.ttl);
    shown["on_missing_key"] = value.on_missing_key == lock::missing_key::pass ? "pass" : "reject";
    shown["on_redis_failure"] = value.pass_without_redis ? "open" : "closed";
    return shown;
}

json show_client_tls(client_tls const& value) {
    json shown{{"verify", value.verify}};
    if (!value.ca_file.empty())
        shown["ca_file"] = value.ca_file;
    if (!value.server_name.empty())
        shown["server_name"] = value.server_name;
    if (!value.certificate.empty()) {
        shown["certificate"] = value.certificate;
        shown["key"] = value.key;
    }
    return shown;
}

json show_circuit(circuit_breaker const& value) {
    auto const& how = value.how;
    json shown;
    if (how.window == circuit::window_kind::time)
        shown["window"] = format_duration(how.window_time);
    else
        shown["window"] = how.window_calls;
    shown["minimum_calls"] = how.minimum();
    shown["failure_rate"] = how.failure_rate;
    if (how.slow_call.count() > 0) {
        shown["slow_call"] = format_duration(how.slow_call);
        shown["slow_rate"] = how.slow_rate;
    }
    shown["consecutive_failures"] = how.consecutive_failures;
    shown["open_for"] = format_duration(how.open_for);
    shown["open_backoff"] = how.open_backoff;
    shown["open_max"] = format_duration(how.open_max);
    shown["jitter"] = how.jitter;
    shown["healthy_for"] = format_duration(how.healthy_for);
    shown["half_open_calls"] = how.half_open_calls;
    shown["half_open_for"] = format_duration(how.half_open_for);
    shown["probe_timeout"] = format_duration(how.probe_timeout);
    if (!how.ramp.empty()) {
        shown["ramp"] = how.ramp;
        shown["ramp_step"] = format_duration(how.ramp_step);
    }
    shown["trip_quorum"] = how.trip_quorum;
    return shown;
}

json show_upstream(config const& whole, upstream const& value) {
    json shown;
    shown["targets"] =
        show_list(value.targets, [](target const& t) { return (t.tls ? "https://" : "http://") + t.text; });
    shown["balance"] = format_balance(value.balance);
    if (value.balance == balance::consistent_hash)
        shown["hash_key"] = format_hash_source(value.hash_key);
    shown["timeouts"] = {{"connect", format_duration(value.connect_timeout)},
                         {"first_byte", format_duration(value.first_byte_timeout)},
                         {"idle", format_duration(value.idle_timeout)}};
    if (value.per_try_timeout.count() > 0)
        shown["timeouts"]["per_try"] = format_duration(value.per_try_timeout);
    if (value.total_timeout.count() > 0)
        shown["timeouts"]["total"] = format_duration(value.total_timeout);
    if (value.circuit)
        shown["circuit"] = whole.circuits.at(*value.circuit).name;
    if (value.target_circuit)
        shown["target_circuit"] = whole.circuits.at(*value.target_circuit).name;
    if (value.retries.attempts > 1)
        shown["retries"] = {{"attempts", value.retries.attempts},
                            {"budget", value.retries.budget},
                            {"statuses", value.retries.statuses}};
    if (value.health)
        shown["health"] = {{"path", value.health->path},
                           {"interval", format_duration(value.health->interval)},
                           {"timeout", format_duration(value.health->timeout)},
                           {"unhealthy_after", value.health->unhealthy_after},
                           {"healthy_after", value.health->healthy_after}};
    shown["ejection"] = {{"after", value.ejection.after},
                         {"for", format_duration(value.ejection.lasts)},
                         {"max_share", value.ejection.max_share}};
    if (std::any_of(value.targets.begin(), value.targets.end(), [](target const& t) { return t.tls; }))
        shown["tls"] = show_client_tls(value.tls);
    if (value.fallback_upstream)
        shown["fallback"] = {{"upstream", whole.upstreams.at(*value.fallback_upstream).name}};
    else if (value.fallback)
        shown["fallback"] = {{"status", value.fallback->status},
                             {"content_type", value.fallback->content_type},
                             {"body", value.fallback->body}};
    return shown;
}

json show_route(config const& whole, route const& value) {
    json shown;
    shown["name"] = value.name;
    shown["path"] = format_pattern(value);
    if (!value.methods.empty())
        shown["methods"] = value.methods;
    if (value.upstream != no_upstream)
        shown["upstream"] = whole.upstreams.at(value.upstream).name;
    shown["limits"] = show_list(value.limits, [&](std::size_t index) { return whole.limits.at(index).rule.name; });
    if (value.lock)
        shown["lock"] = whole.locks.at(*value.lock).name;
    if (value.single_flight)
        shown["single_flight"] = {{"vary", value.single_flight->vary},
                                  {"between_users", value.single_flight->between_users},
                                  {"wait", format_duration(value.single_flight->wait)},
                                  {"max_answer", format_size(value.single_flight->max_answer)}};
    if (value.idempotency)
        shown["idempotency"] = {{"required", value.idempotency->required},
                                {"keep", format_duration(value.idempotency->keep)},
                                {"max_answer", format_size(value.idempotency->max_answer)},
                                {"fields", value.idempotency->fields},
                                {"on_redis_failure", value.idempotency->pass_without_redis ? "open" : "closed"}};
    if (!value.upgrades.empty())
        shown["upgrade"] = value.upgrades;
    return shown;
}

json show_http(http_settings const& value) {
    return {{"max_request_line", format_size(value.max_request_line)},
            {"max_head", format_size(value.max_head)},
            {"max_fields", value.max_fields},
            {"max_body", format_size(value.max_body)},
            {"head_timeout", format_duration(value.head_timeout)},
            {"body_timeout", format_duration(value.body_timeout)},
            {"write_timeout", format_duration(value.write_timeout)},
            {"keep_alive", format_duration(value.keep_alive)}};
}

} // namespace

std::string mask_url(std::string const& url) {
    auto parsed = boost::urls::parse_uri(url);
    if (!parsed)
        return masked;
    boost::urls::url shown(*parsed);
    if (shown.has_password())
        shown.set_password(masked);
    auto query = shown.params();
    for (auto at = query.begin(); at != query.end(); ++at)
        if ((*at).key == "sentinel_password")
            at = query.replace(at, {"sentinel_password", masked});
    return {shown.buffer().data(), shown.buffer().size()};
}

json show(config const& value) {
    json shown;
    shown["listen"] = show_list(value.listen, show_listen);
    shown["admin"] = {{"address", format_endpoint(value.admin)}, {"token", value.admin_token.empty() ? "" : masked}};
    if (value.decision)
        shown["decision"] = {{"address", format_endpoint(value.decision->address)},
                             {"token", value.decision->token.empty() ? "" : masked}};
    shown["workers"] = value.workers;
    shown["redis"] = show_redis(value.redis);
    shown["trusted_proxies"] = show_list(value.trusted_proxies, format_network);
    shown["identity"] = show_list(value.identity, show_identity);
    shown["limits"] = json::object();
    for (auto const& one : value.limits)
        shown["limits"][one.rule.name] = show_limit(one);
    shown["circuits"] = json::object();
    for (auto const& one : value.circuits)
        shown["circuits"][one.name] = show_circuit(one);
    shown["locks"] = json::object();
    for (auto const& one : value.locks)
        shown["locks"][one.name] = show_lock(one);
    shown["upstreams"] = json::object();
    for (auto const& one : value.upstreams)
        shown["upstreams"][one.name] = show_upstream(value, one);
    shown["routes"] = show_list(value.routes, [&](route const& r) { return show_route(value, r); });
    shown["http"] = show_http(value.http);
    shown["rate_limit_headers"] = format_rate_limit_headers(value.headers);
    shown["drain"] = format_duration(value.drain);
    shown["access_log"] = value.access_log.empty() ? "off" : value.access_log;
    shown["reload_on_change"] = value.reload_on_change;
    return shown;
}

} // namespace weir::config
