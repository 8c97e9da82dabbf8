#include "cli/serve_config.hpp"

#include "cli/failure.hpp"
#include "config/conflicts.hpp"
#include "config/values.hpp"
#include <weir/rate_limit/charge.hpp>

#include <algorithm>
#include <functional>

namespace weir::cli {
namespace {

using config::issue;
using config::value_error;

/// Reads flags with the functions that read the file's strings, and collects what is wrong.
class flag_reader {
public:
    explicit flag_reader(std::vector<issue>& issues)
        : issues_(issues) {}

    /// Calls `take(text)` for a flag that was given.
    template <class Take>
    void one(char const* flag, std::string const& text, Take take) {
        if (text.empty())
            return;
        try {
            take(text);
        } catch (value_error const& e) {
            issues_.push_back({issue::severity::error, flag, 0, 0, e.what()});
        }
    }

    template <class Take>
    void each(char const* flag, std::vector<std::string> const& texts, Take take) {
        for (auto const& text : texts)
            one(flag, text, take);
    }

private:
    std::vector<issue>& issues_;
};

/// Flags that mean the same with and without a file.
void apply_overrides(serve_options const& options, flag_reader& flags, config::config& out) {
    if (!options.listen.empty())
        out.listen.clear();
    flags.each("--listen", options.listen,
               [&](std::string const& text) { out.listen.push_back(config::parse_endpoint(text)); });
    flags.one("--admin", options.admin, [&](std::string const& text) { out.admin = config::parse_endpoint(text); });
    flags.one("--decision", options.decision, [&](std::string const& text) {
        if (!out.decision)
            out.decision.emplace();
        out.decision->address = config::parse_endpoint(text);
    });
    flags.one("--workers", options.workers, [&](std::string const& text) {
        auto count = config::parse_whole_number(text);
        if (count > 1024)
            throw value_error("at most 1024");
        out.workers = static_cast<unsigned>(count);
    });
    if (!options.access_log.empty())
        out.access_log = options.access_log == "off" ? std::string{} : options.access_log;
    if (!options.redis.empty())
        out.redis.url = options.redis;
    out.redis.allow_down_at_start |= options.allow_redis_down;
}

config::identity_source parse_identity(std::string const& text) {
    if (text == "ip")
        return {config::identity_source::type::ip, {}};
    if (!text.starts_with("header:"))
        throw value_error('"' + text + "\" is neither header:NAME nor ip");
    return {config::identity_source::type::header, config::parse_field_name(std::string_view(text).substr(7))};
}

/// One upstream, one route for everything, and the limits on it.
void build_from_flags(serve_options const& options, flag_reader& flags, config::config& out) {
    config::upstream upstream;
    upstream.name = "upstream";
    flags.each("--upstream", options.upstreams,
               [&](std::string const& text) { upstream.targets.push_back(config::parse_target(text)); });
    out.upstreams.push_back(std::move(upstream));

    if (!options.identity.empty())
        out.identity.clear();
    flags.each("--identity", options.identity,
               [&](std::string const& text) { out.identity.push_back(parse_identity(text)); });
    flags.each("--trusted-proxy", options.trusted_proxies,
               [&](std::string const& text) { out.trusted_proxies.push_back(config::parse_network(text)); });

    config::limit like;
    if (!options.per.empty())
        like.per.clear();
    flags.each("--per", options.per, [&](std::string const& text) { like.per.push_back(config::parse_per(text)); });
    flags.one("--on-redis-failure", options.on_redis_failure,
              [&](std::string const& text) { like.rule.on_redis_failure = config::parse_on_redis_failure(text); });

    config::route route;
    route.name = "all";
    flags.each("--limit", options.limits, [&](std::string const& text) {
        auto limit = like;
        limit.rule = config::parse_rule(text);
        limit.rule.on_redis_failure = like.rule.on_redis_failure;
        if (out.find_limit(limit.rule.name))
            throw value_error('"' + limit.rule.name + "\" is given twice");
        route.limits.push_back(out.limits.size());
        out.limits.push_back(std::move(limit));
    });
    if (route.limits.size() > max_rules_per_check)
        throw failure("usage", "--limit: at most " + std::to_string(max_rules_per_check) + " limits", {});
    out.routes.push_back(std::move(route));
}

void refuse_beside_file(serve_options const& options) {
    auto refuse = [](char const* flag, bool given) {
        if (given)
            throw failure("usage", std::string(flag) + " cannot be combined with --config", "write it in the file");
    };
    refuse("--upstream", !options.upstreams.empty());
    refuse("--limit", !options.limits.empty());
    refuse("--per", !options.per.empty());
    refuse("--identity", !options.identity.empty());
    refuse("--trusted-proxy", !options.trusted_proxies.empty());
    refuse("--on-redis-failure", !options.on_redis_failure.empty());
}

/// Adds what settings from several places contradict together.
void add_conflicts(config::loaded& result) {
    for (auto& found : config::find_conflicts(*result.value))
        if (found.is_error())
            result.issues.push_back(std::move(found));
    if (std::any_of(result.issues.begin(), result.issues.end(), std::mem_fn(&issue::is_error)))
        result.value.reset();
}

} // namespace

config::loaded serve_config(serve_options const& options) {
    config::loaded result;
    if (!options.config_file.empty()) {
        refuse_beside_file(options);
        result = config::load_file(options.config_file);
        if (!result.value && result.issues.front().line == 0)
            throw failure("file", options.config_file + ' ' + result.issues.front().message, {});
        if (!result.value)
            return result;
        flag_reader flags(result.issues);
        apply_overrides(options, flags, *result.value);
    } else {
        if (options.listen.empty() || options.upstreams.empty())
            throw failure("usage", "what to serve? Give --config FILE, or --listen ADDRESS:PORT and --upstream URL",
                          "see weir serve --help");
        result.value = std::make_shared<config::config>();
        flag_reader flags(result.issues);
        apply_overrides(options, flags, *result.value);
        build_from_flags(options, flags, *result.value);
    }
    add_conflicts(result);
    return result;
}

} // namespace weir::cli
