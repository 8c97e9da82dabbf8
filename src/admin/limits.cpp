#include "admin/limits.hpp"

#include "admin/io.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>

namespace weir::admin {
namespace {

class limit_desk {
public:
    limit_desk(present_config settings, redis::client& client, std::shared_ptr<local_engine> local)
        : settings_(std::move(settings))
        , client_(client) {
        options_.key_prefix = settings_()->redis.key_prefix;
        options_.local = std::move(local);
    }

    asio::awaitable<api_answer> answer(api_request const& asked) const {
        auto const present = settings_(); // for as long as this takes
        auto const& settings = *present;
        if (asked.path.size() == 1 && asked.method == "GET")
            co_return list(settings);
        bool const reset = asked.path.size() == 4 && asked.path[3] == "reset";
        if (asked.path.size() != 3 && !reset)
            co_return refused(404, "known here: /v1/limits, /v1/limits/RULE/USER and, with POST, "
                                   "/v1/limits/RULE/USER/reset; a slash in a user is written %2F");
        if (reset != (asked.method == "POST"))
            co_return refused(405, reset ? "reset it with POST" : "only GET is answered here; POST is for .../reset");
        auto const found = settings.find_limit(asked.path[1]);
        if (!found)
            co_return refused(404, "no limit is called \"" + asked.path[1] + '"' +
                                       config::suggest_name(asked.path[1], names(settings)));
        auto const& limit = settings.limits[*found];
        auto const& user = asked.path[2];
        if (user.empty())
            co_return refused(400, "no user has an empty name");
        auto const endpoints = endpoints_of(settings, *found, asked);
        if (endpoints.empty())
            co_return refused(400, "\"" + limit.rule.name +
                                       "\" counts by path: name one in its canonical form with "
                                       "?endpoint=/v1/chat");
        if (reset)
            co_return co_await forget(limit, user, endpoints);
        co_return co_await peek(limit, user, endpoints);
    }

private:
    static std::vector<std::string_view> names(config::config const& settings) {
        std::vector<std::string_view> all;
        for (auto const& each : settings.limits)
            all.push_back(each.rule.name);
        return all;
    }

    static api_answer list(config::config const& settings) {
        auto all = json::array();
        for (auto const& each : settings.limits) {
            json shown{{"rule", each.rule.name},
                       {"algorithm", to_string(each.rule.algorithm)},
                       {"limit", each.rule.limit},
                       {"window_ms", each.rule.window.count()},
                       {"endpoint", config::format_endpoint_scope(each.endpoint)},
                       {"shadow", each.rule.shadow}};
            for (auto const& part : each.per)
                shown["per"].push_back(config::format_per(part));
            all.push_back(std::move(shown));
        }
        return {200, {{"limits", all}}, {}};
    }

    /// The endpoints that a limit counts apart, where they are few; "*" is all of them together.
    static std::vector<std::string> endpoints_of(config::config const& settings, std::size_t index,
                                                 api_request const& asked) {
        auto const& limit = settings.limits[index];
        if (limit.endpoint == config::endpoint_scope::any)
            return {"*"};
        if (auto const named = asked.parameter("endpoint"))
            return {std::string(*named)};
        std::vector<std::string> all;
        if (limit.endpoint == config::endpoint_scope::route)
            for (auto const& route : settings.routes)
                if (std::find(route.limits.begin(), route.limits.end(), index) != route.limits.end())
                    all.push_back(route.name);
        return all;
    }

    static key_part endpoint_part(config::limit const& limit, std::string const& endpoint) {
        return limit.endpoint == config::endpoint_scope::any ? key_part::any() : key_part(endpoint);
    }
    static key_part user_part(config::limit const& limit, std::string const& user) {
        bool const together = limit.per.size() == 1 && limit.per.front().from == config::per_part::type::everyone;
        return together ? key_part::any() : key_part(user);
    }

    // By value what a coroutine needs after its first suspension: it is begun in another's expression.
    asio::awaitable<api_answer> peek(config::limit const& limit, std::string user,
                                     std::vector<std::string> endpoints) const {
        limiter asks(client_, options_);
        auto all = json::array();
        for (auto const& endpoint : endpoints) {
            std::array const charges{charge{&limit.rule, user_part(limit, user), endpoint_part(limit, endpoint), 0}};
            decision said;
            auto const [ec] = co_await asks.async_check(charges, said, use_result);
            if (ec || said.error)
                co_return refused(503, "Redis does not say: " + (ec ? ec : said.error).message());
            auto const& one = said.rules.front();
            all.push_back({{"endpoint", endpoint},
                           {"allowed", one.allowed},
                           {"limit", one.limit},
                           {"window_ms", one.window.count()},
                           {"remaining", one.remaining},
                           {"retry_after_ms", milliseconds_of(one.retry_after)},
                           {"reset_after_ms", milliseconds_of(one.reset_after)}});
        }
        co_return api_answer{200, {{"rule", limit.rule.name}, {"user", user}, {"endpoints", all}}, {}};
    }

    asio::awaitable<api_answer> forget(config::limit const& limit, std::string user,
                                       std::vector<std::string> endpoints) const {
        limiter one(client_, limit.rule, options_);
        auto all = json::array();
        for (auto const& endpoint : endpoints) {
            auto const [ec, forgotten] =
                co_await one.async_reset(user_part(limit, user), endpoint_part(limit, endpoint), use_result);
            if (ec)
                co_return refused(503, "Redis does not forget: " + ec.message());
            all.push_back({{"endpoint", endpoint}, {"forgotten", forgotten != 0}});
        }
        co_return api_answer{200, {{"rule", limit.rule.name}, {"user", user}, {"endpoints", all}}, {}};
    }

    present_config settings_;
    redis::client& client_;
    limiter_options options_;
};

} // namespace

api_resource limits_resource(present_config settings, redis::client& client, std::shared_ptr<local_engine> local) {
    auto const desk = std::make_shared<limit_desk const>(std::move(settings), client, std::move(local));
    return {"limits", {"GET", "POST"}, [desk](api_request const& asked) { return desk->answer(asked); }};
}

} // namespace weir::admin
