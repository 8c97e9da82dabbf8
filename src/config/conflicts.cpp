#include "config/conflicts.hpp"

#include "config/json_tree.hpp"
#include "config/values.hpp"

#include <weir/http/canonical_target.hpp>

#include <boost/asio/ip/address.hpp>

#include <algorithm>

namespace weir::config {
namespace {

using severity = issue::severity;

std::string at(std::string_view list, std::size_t index, std::string_view field = {}) {
    auto pointer = pointer_step(list) + pointer_step(std::to_string(index));
    return field.empty() ? pointer : pointer + pointer_step(field);
}

/// Whether binding both fails: the same port, and the same address or a wildcard of its family.
bool collide(endpoint const& a, endpoint const& b) {
    if (a.port != b.port || a.port == 0 || a.host.empty() || b.host.empty())
        return false;
    boost::system::error_code failed;
    auto first = asio::ip::make_address(a.host, failed);
    auto second = asio::ip::make_address(b.host, failed);
    return first == second || (first.is_v4() == second.is_v4() && (first.is_unspecified() || second.is_unspecified()));
}

bool open_to_network(endpoint const& address) {
    boost::system::error_code failed;
    auto ip = asio::ip::make_address(address.host, failed);
    return !failed && !ip.is_loopback();
}

void check_addresses(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.listen.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (collide(value.listen[i], value.listen[j]))
                issues.push_back({severity::error, at("listen", i, "address"), 0, 0,
                                  "the same address as /listen/" + std::to_string(j) + " (" +
                                      format_endpoint(value.listen[j]) + ")"});
    for (std::size_t i = 0; i < value.listen.size(); ++i)
        if (collide(value.admin, value.listen[i]))
            issues.push_back({severity::error, at("listen", i, "address"), 0, 0,
                              "the same address as the admin side (" + format_endpoint(value.admin) + ")"});
    if (open_to_network(value.admin) && value.admin_token.empty())
        issues.push_back({severity::error, "/admin/address", 0, 0,
                          "the admin side would be open to the network (" + format_endpoint(value.admin) +
                              "): set /admin/token, or listen on 127.0.0.1"});
}

void check_decision(config const& value, std::vector<issue>& issues) {
    if (!value.decision)
        return;
    auto const& address = value.decision->address;
    auto refuse = [&](std::string const& why) { issues.push_back({severity::error, "/decision/address", 0, 0, why}); };
    if (collide(address, value.admin))
        refuse("the same address as the admin side (" + format_endpoint(value.admin) + ")");
    for (std::size_t i = 0; i < value.listen.size(); ++i)
        if (collide(address, value.listen[i]))
            refuse("the same address as /listen/" + std::to_string(i) + " (" + format_endpoint(value.listen[i]) + ")");
    if (open_to_network(address) && value.decision->token.empty())
        refuse("the decision service would be open to the network (" + format_endpoint(address) +
               "): set /decision/token, or listen on 127.0.0.1");
    if (value.trusted_proxies.empty())
        issues.push_back({severity::warning, "/decision", 0, 0,
                          "no peer is in trusted_proxies, so that /authorize refuses everybody"});
}

/// A route's pattern as requests are compared with it.
struct pattern {
    std::string key;
    bool prefix = false;

    explicit pattern(route const& r) {
        http::refusal why;
        if (!http::canonicalize_pattern(format_pattern(r), key, prefix, why))
            key.clear();
    }
};

/// Whether every path that `inner` takes is taken by `outer` too.
bool covers(pattern const& outer, pattern const& inner) {
    if (outer.prefix && inner.prefix)
        return inner.key.starts_with(outer.key);
    return !inner.prefix && http::matches(inner.key, outer.key, outer.prefix);
}

bool serves(route const& r, std::string const& method) {
    return r.methods.empty() || std::find(r.methods.begin(), r.methods.end(), method) != r.methods.end();
}

/// The names of the routes before `index` that together take all it could serve; empty: it serves something.
std::string routes_that_hide(std::vector<route> const& routes, std::size_t index) {
    auto const& hidden = routes[index];
    std::vector<std::string_view> hiding;
    auto hide = [&](auto const& takes) {
        for (std::size_t i = 0; i < index; ++i) {
            if (routes[i].path.empty() || !covers(pattern(routes[i]), pattern(hidden)) || !takes(routes[i]))
                continue;
            if (std::find(hiding.begin(), hiding.end(), routes[i].name) == hiding.end())
                hiding.push_back(routes[i].name);
            return true;
        }
        return false;
    };
    bool all = hidden.methods.empty()
                   ? hide([](route const& r) { return r.methods.empty(); })
                   : std::all_of(hidden.methods.begin(), hidden.methods.end(), [&](std::string const& method) {
                         return hide([&](route const& r) { return serves(r, method); });
                     });
    std::string names;
    for (auto name : hiding)
        names += (names.empty() ? "\"" : "\" and \"") + std::string(name);
    return all ? names + '"' : std::string{};
}

void check_routes(config const& value, std::vector<issue>& issues) {
    auto const& routes = value.routes;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        auto same = std::find_if(routes.begin(), routes.begin() + static_cast<std::ptrdiff_t>(i),
                                 [&](route const& r) { return r.name == routes[i].name && !r.name.empty(); });
        if (same != routes.begin() + static_cast<std::ptrdiff_t>(i))
            issues.push_back({severity::error, at("routes", i, "name"), 0, 0,
                              "\"" + routes[i].name + "\" is the name of /routes/" +
                                  std::to_string(same - routes.begin()) + " already"});
        if (routes[i].path.empty())
            continue;
        if (auto hiding = routes_that_hide(routes, i); !hiding.empty())
            issues.push_back({severity::error, at("routes", i), 0, 0,
                              "can never match: all it could serve is taken before it by " + hiding +
                                  "; the first route that matches serves, so put special routes first"});
    }
}

void check_limits(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.limits.size(); ++i) {
        auto const& l = value.limits[i];
        auto pointer = "/limits" + pointer_step(l.rule.name);
        if (l.cost > l.rule.limit && l.rule.limit > 0 && l.cost_header.empty())
            issues.push_back({severity::error, pointer + "/cost", 0, 0,
                              "costs more than the limit of " + std::to_string(l.rule.limit) +
                                  ": every request would be refused (write \"limit\": 0 if that is meant)"});
        auto used = std::any_of(value.routes.begin(), value.routes.end(), [&](route const& r) {
            return std::find(r.limits.begin(), r.limits.end(), i) != r.limits.end();
        });
        if (!used)
            issues.push_back({severity::warning, pointer, 0, 0, "no route uses this limit: it limits nothing here"});
    }
}

void check_unused_upstreams(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.upstreams.size(); ++i)
        if (std::none_of(value.routes.begin(), value.routes.end(), [&](route const& r) { return r.upstream == i; }))
            issues.push_back({severity::warning, "/upstreams" + pointer_step(value.upstreams[i].name), 0, 0,
                              "no route leads to this upstream"});
}

void check_identity(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.identity.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            if (value.identity[j].from == identity_source::type::ip) {
                issues.push_back({severity::error, at("identity", i), 0, 0,
                                  "never reached: \"ip\" before it always finds something"});
                break;
            }
            if (value.identity[i].from == value.identity[j].from &&
                value.identity[i].header == value.identity[j].header && !value.identity[i].header.empty()) {
                issues.push_back(
                    {severity::error, at("identity", i), 0, 0, "the same source as /identity/" + std::to_string(j)});
                break;
            }
        }
}

} // namespace

std::vector<issue> find_conflicts(config const& value) {
    std::vector<issue> issues;
    check_addresses(value, issues);
    check_decision(value, issues);
    check_identity(value, issues);
    check_limits(value, issues);
    check_unused_upstreams(value, issues);
    check_routes(value, issues);
    if (value.http.max_request_line > value.http.max_head)
        issues.push_back({severity::error, "/http/max_request_line", 0, 0,
                          "larger than max_head (" + format_size(value.http.max_head) + "), of which it is a part"});
    return issues;
}

} // namespace weir::config
