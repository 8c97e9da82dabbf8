#include "config/conflicts.hpp"

#include "config/json_tree.hpp"
#include "config/values.hpp"

#include <weir/http/canonical_target.hpp>

#include <boost/asio/ip/address.hpp>

#include <algorithm>

namespace weir::config {
namespace {

using severity = issue::severity;

/// The shortest lease of a place: it is renewed while its request runs, and that must not be a race.
constexpr milliseconds min_lease{1000};

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
    if (value.trusted_proxies.empty() && !value.routes.empty())
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

/// Tells about one limit. Its range and its parts are right; what they say together may not be.
class limit_checker {
public:
    limit_checker(limit const& checked, std::vector<issue>& issues)
        : limit_(checked)
        , issues_(issues)
        , pointer_("/limits" + pointer_step(checked.rule.name)) {}

    void check() {
        check_terms();
        check_cost();
        check_lease();
        check_users();
    }

private:
    void error(std::string const& where, std::string message) {
        issues_.push_back({severity::error, pointer_ + where, 0, 0, std::move(message)});
    }
    void warn(std::string const& where, std::string message) {
        issues_.push_back({severity::warning, pointer_ + where, 0, 0, std::move(message)});
    }
    /// IPv6 addresses count by /64, and are written so.
    static bool is_network(std::string const& user) {
        try {
            auto const parsed = user.find('/') == user.npos ? network{} : parse_network(user);
            auto const* v6 = std::get_if<asio::ip::network_v6>(&parsed);
            return user.find('/') != user.npos && (v6 == nullptr || v6->prefix_length() != 64);
        } catch (value_error const&) {
            return false;
        }
    }
    static std::string of_user(std::string_view user) { return "/overrides" + pointer_step(user); }

    /// In the library's words, which begin with the field.
    void check_terms() {
        auto rule = limit_.rule;
        rule.overrides.clear();
        if (auto const problem = problem_of(rule); !problem.empty())
            return error(pointer_step(problem.substr(0, problem.find_first_of(" ."))), problem);
        for (auto const& [user, terms] : limit_.rule.overrides) {
            rule.overrides = {{user, terms}};
            auto const before = "overrides: " + user + ": ";
            if (auto const problem = problem_of(rule); !problem.empty())
                error(of_user(user), problem.starts_with(before) ? problem.substr(before.size()) : problem);
        }
    }

    void check_cost() {
        auto const& rule = limit_.rule;
        if (!limit_.cost_header.empty())
            return;
        auto const too_much = [&](rule_terms const& t) { return t.limit > 0 && limit_.cost > t.burst; };
        auto const most = [](rule_terms const& t) {
            return std::string(t.burst == t.limit ? "limit" : "burst") + " of " + std::to_string(t.burst);
        };
        if (auto const terms = terms_of(rule); too_much(terms))
            return error("/cost", "costs more than the " + most(terms) +
                                      ": every request would be refused (write \"limit\": 0 if that is meant)");
        for (auto const& each : rule.overrides)
            if (auto const terms = terms_of(rule, each.first); too_much(terms))
                error(of_user(each.first),
                      "a request costs " + std::to_string(limit_.cost) + ", more than this " + most(terms) +
                          ": every one would be refused (write 0, or \"deny\" the user, if that is meant)");
    }

    void check_lease() {
        if (limit_.rule.algorithm != algorithm::concurrency)
            return;
        auto const why = "must be at least " + format_duration(min_lease) +
                         " for concurrency: it is how long a place stays taken by a weir that died, and while a "
                         "request runs its place is renewed";
        if (limit_.rule.window < min_lease)
            error("/window", why);
        for (auto const& [user, terms] : limit_.rule.overrides)
            if (terms.window && *terms.window < min_lease)
                error(of_user(user), "window " + why);
    }

    void check_users() {
        auto const& rule = limit_.rule;
        bool const nobody = limit_.per.size() == 1 && limit_.per.front().from == per_part::type::everyone;
        auto const refuse = [&](char const* field, bool given) {
            if (nobody && given)
                error(std::string("/") + field,
                      "names users, and \"per\": [\"*\"] counts everybody together: there are none to tell apart");
        };
        refuse("overrides", !rule.overrides.empty());
        refuse("allow", !rule.allow.empty());
        refuse("deny", !rule.deny.empty());
        for (auto const& user : rule.allow)
            if (rule.deny.contains(user))
                warn("/allow", '"' + user + "\" is in \"deny\" too, which wins");
        for (auto const* list : {&rule.allow, &rule.deny})
            for (auto const& user : *list)
                if (is_network(user))
                    warn(list == &rule.allow ? "/allow" : "/deny",
                         '"' + user + "\" is compared as a text, and no user has the name of a network");
        for (auto const& each : rule.overrides)
            if (rule.allow.contains(each.first) || rule.deny.contains(each.first))
                warn(of_user(each.first), "never asked: the user is in a list of this limit, which decides");
    }

    limit const& limit_;
    std::vector<issue>& issues_;
    std::string const pointer_;
};

void check_limits(config const& value, std::vector<issue>& issues) {
    for (auto const& l : value.limits)
        if (l.settle && l.rule.algorithm == weir::algorithm::concurrency)
            issues.push_back({severity::error, "/limits" + pointer_step(l.rule.name) + "/cost", 0, 0,
                              "places in flight are given back, not settled: write a number or \"header:NAME\""});
    for (std::size_t i = 0; i < value.limits.size(); ++i) {
        auto const& l = value.limits[i];
        limit_checker(l, issues).check();
        auto used = std::any_of(value.routes.begin(), value.routes.end(), [&](route const& r) {
            return std::find(r.limits.begin(), r.limits.end(), i) != r.limits.end();
        });
        if (!used && !value.decision) // whose programs may ask for any
            issues.push_back({severity::warning, "/limits" + pointer_step(l.rule.name), 0, 0,
                              "no route uses this limit: it limits nothing here"});
    }
}

/// A place in flight is free when somebody leaves, and nobody knows when: there is none to wait for.
void check_waits(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.routes.size(); ++i) {
        auto const& limits = value.routes[i].limits;
        auto const find = [&](auto const& is) {
            auto const at = std::find_if(limits.begin(), limits.end(), [&](auto l) { return is(value.limits[l]); });
            return at == limits.end() ? nullptr : &value.limits[*at];
        };
        auto const* const waits = find([](limit const& l) { return l.rule.max_wait.count() > 0; });
        auto const* const holds = find([](limit const& l) { return l.rule.algorithm == weir::algorithm::concurrency; });
        if (waits && holds)
            issues.push_back({severity::error, at("routes", i, "limits"), 0, 0,
                              "\"" + waits->rule.name + "\" would wait, and \"" + holds->rule.name +
                                  "\" counts until the request has ended: they cannot be on one route"});
    }
}

void check_unused_upstreams(config const& value, std::vector<issue>& issues) {
    auto const falls_back = [&](std::size_t i) {
        return std::any_of(value.upstreams.begin(), value.upstreams.end(),
                           [&](upstream const& u) { return u.fallback_upstream == i; });
    };
    for (std::size_t i = 0; i < value.upstreams.size(); ++i)
        if (!falls_back(i) &&
            std::none_of(value.routes.begin(), value.routes.end(), [&](route const& r) { return r.upstream == i; }))
            issues.push_back({severity::warning, "/upstreams" + pointer_step(value.upstreams[i].name), 0, 0,
                              "no route leads to this upstream"});
}

void check_circuits(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.circuits.size() && !value.decision; ++i) // whose programs may ask for any
        if (std::none_of(value.upstreams.begin(), value.upstreams.end(),
                         [&](upstream const& u) { return u.circuit == i || u.target_circuit == i; }))
            issues.push_back(
                {severity::warning, "/circuits" + pointer_step(value.circuits[i].name), 0, 0,
                 "no upstream has this circuit, and without \"decision\" no program can ask for it: it protects "
                 "nothing here"});
    for (auto const& u : value.upstreams)
        if (u.circuit && u.circuit == u.target_circuit)
            issues.push_back({severity::error, "/upstreams" + pointer_step(u.name) + "/target_circuit", 0, 0,
                              "the same as \"circuit\": that of all targets together is another than that of each"});
}

void check_locks(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.locks.size(); ++i)
        if (std::none_of(value.routes.begin(), value.routes.end(), [&](route const& r) { return r.lock == i; }))
            issues.push_back({severity::warning, "/locks" + pointer_step(value.locks[i].name), 0, 0,
                              "no route takes this lock: it protects nothing here"});
    for (std::size_t i = 0; i < value.routes.size() && value.decision; ++i) {
        if (!value.routes[i].lock)
            continue;
        if (value.listen.empty())
            issues.push_back(
                {severity::error, at("routes", i, "lock"), 0, 0,
                 "a lock is held while this proxy serves a request, and without \"listen\" it serves none: "
                 "use /v1/locks of the decision service"});
        else
            issues.push_back({severity::warning, at("routes", i, "lock"), 0, 0,
                              "only requests that this proxy serves hold it: /authorize cannot, since it never hears "
                              "of their end"});
    }
}

/// What a route says of some methods is of no use to the others.
void check_sharing(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.routes.size(); ++i) {
        auto const& r = value.routes[i];
        auto const refuse = [&](char const* field, std::string why) {
            issues.push_back({severity::error, at("routes", i, field), 0, 0, std::move(why)});
        };
        if (r.idempotency && !serves(r, "POST") && !serves(r, "PATCH"))
            refuse("idempotency", "is for POST and PATCH, and this route takes neither");
        if (r.single_flight && !serves(r, "GET") && !serves(r, "HEAD"))
            refuse("single_flight", "is for GET and HEAD, and this route takes neither");
        if (r.single_flight && value.listen.empty())
            refuse("single_flight", "answers are shared where requests are served, and without \"listen\" none are");
        if (r.idempotency && value.listen.empty())
            refuse("idempotency", "answers are kept where requests are served, and without \"listen\" none are");
    }
}

void check_identity(config const& value, std::vector<issue>& issues) {
    for (std::size_t i = 0; i < value.identity.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            if (value.identity[j].from == identity_source::type::ip) {
                issues.push_back({severity::error, at("identity", i), 0, 0,
                                  "never reached: \"ip\" before it always finds something"});
                break;
            }
            if (value.identity[j].required) {
                issues.push_back({severity::error, at("identity", i), 0, 0,
                                  "never reached: /identity/" + std::to_string(j) +
                                      " is required, and refuses whom it does not find"});
                break;
            }
            if (value.identity[i].from == value.identity[j].from && value.identity[i].file == value.identity[j].file &&
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
    check_waits(value, issues);
    check_limits(value, issues);
    check_circuits(value, issues);
    check_locks(value, issues);
    check_sharing(value, issues);
    check_unused_upstreams(value, issues);
    check_routes(value, issues);
    if (value.http.max_request_line > value.http.max_head)
        issues.push_back({severity::error, "/http/max_request_line", 0, 0,
                          "larger than max_head (" + format_size(value.http.max_head) + "), of which it is a part"});
    return issues;
}

} // namespace weir::config
