#include "admin/circuits.hpp"

#include "admin/circuit_record.hpp"
#include "admin/io.hpp"
#include "admin/manual_order.hpp"
#include "admin/redis_desk.hpp"
#include "config/values.hpp"
#include "proxy/circuits.hpp"

#include <weir/circuit/script.hpp>
#include <weir/key.hpp>
#include <weir/redis/hash_slot.hpp>

#include <algorithm>
#include <array>

namespace weir::admin {
namespace {

constexpr std::string_view circuit_paths = "known here: /v1/circuits, /v1/circuits/NAME and, with POST, "
                                           "/v1/circuits/NAME/force-open|force-closed|disable|auto|reset";

/// What may be done by hand.
struct deed {
    std::string_view name;
    std::optional<circuit::state> to;
    /// It may have an end.
    bool lasts;
};

constexpr std::array deeds{
    deed{"force-open", circuit::state::forced_open, true},
    // Counts on, and tells in the history what it would have done.
    deed{"force-closed", circuit::state::metrics_only, true},
    deed{"disable", circuit::state::disabled, true},
    deed{"auto", std::nullopt, false},
    deed{"reset", circuit::state::closed, false},
};

constexpr std::string_view example_of_order = R"({"reason": "the upstream burns", "for": "10m"})";

class circuit_desk : private redis_desk {
public:
    circuit_desk(proxy::server const& of, redis::client& client)
        : redis_desk(of, client) {}

    // By value what a coroutine needs after its first suspension: it is begun in another's expression.
    asio::awaitable<api_answer> answer(api_request asked) const {
        auto const settings = server_.config();
        if (asked.path.size() > 3)
            co_return refused(404, std::string(circuit_paths));
        if (asked.path.size() < 3 && asked.method == "POST")
            co_return refused(405, "only GET is answered here; " + std::string(circuit_paths));
        auto names = names_of(*settings);
        if (asked.path.size() == 1)
            co_return co_await list(std::move(names));
        if (std::find(names.begin(), names.end(), asked.path[1]) == names.end())
            co_return refused(404, "the configuration has no circuit that is called \"" + asked.path[1] + '"' +
                                       config::suggest_name(asked.path[1], {names.begin(), names.end()}));
        if (asked.path.size() == 2)
            co_return co_await show(asked.path[1]);
        auto const what =
            std::find_if(deeds.begin(), deeds.end(), [&](deed const& d) { return d.name == asked.path[2]; });
        if (what == deeds.end())
            co_return refused(404, std::string(circuit_paths));
        if (asked.method != "POST")
            co_return refused(405, "do it with POST");
        co_return co_await set(asked.path[1], *what,
                               read_manual_order(asked.body, example_of_order,
                                                 what->lasts ? end_of_order::allowed : end_of_order::here_none));
    }

private:
    static std::vector<std::string> names_of(config::config const& settings) {
        std::vector<std::string> all;
        for (auto const& each : proxy::circuit_plan(settings).all)
            all.push_back(each.name);
        return all;
    }

    asio::awaitable<api_answer> list(std::vector<std::string> names) const {
        auto all = json::array();
        for (auto const& name : names) {
            json one;
            if (auto const ec = co_await read(name, one))
                co_return silent(ec);
            all.push_back(std::move(one));
        }
        co_return api_answer{200, {{"circuits", all}}, {}};
    }

    asio::awaitable<error_code> read(std::string name, json& into) const {
        redis::flat_reply hash;
        std::string key;
        append_circuit_key(key, prefix(), name, layout_);
        std::int64_t now = 0;
        if (auto const ec = co_await read_time(redis::hash_slot(key), now))
            co_return ec;
        if (auto const ec = co_await ask(redis::command().start(2).arg("HGETALL").key(key), hash))
            co_return ec;
        into = circuit_json(name, read_circuit_hash(hash), now);
        into["here"] = here(name);
        co_return error_code{};
    }

    /// What this instance sees and did.
    json here(std::string const& name) const {
        auto const counters = server_.counters()->now();
        auto const& names = counters->labels().circuits;
        auto const i = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
        auto states = json::array();
        std::uint64_t refused = 0;
        for (std::size_t w = 0; w < counters->workers() && i < names.size(); ++w) {
            auto const& block = counters->worker(w).circuits[i];
            states.push_back(to_string(static_cast<circuit::state>(block.state.value())));
            refused += block.refused.value();
        }
        return {{"workers", states}, {"refused", refused}};
    }

    asio::awaitable<api_answer> show(std::string name) const {
        json one;
        if (auto const ec = co_await read(name, one))
            co_return silent(ec);
        std::string key;
        append_circuit_history_key(key, prefix(), name, layout_);
        redis::flat_reply reply;
        if (auto const ec = co_await ask(
                redis::command().start(6).arg("XREVRANGE").key(key).arg("+").arg("-").arg("COUNT").arg("20"), reply))
            co_return silent(ec);
        one["history"] = json::array();
        for (auto const& each : read_circuit_history(reply))
            one["history"].push_back(each);
        co_return api_answer{200, std::move(one), {}};
    }

    asio::awaitable<api_answer> set(std::string name, deed what, manual_order said) const {
        if (!said.problem.empty())
            co_return refused(400, said.problem);
        circuit::override_request request;
        request.to = what.to;
        request.lasts = said.lasts;
        request.who = said.who;
        request.why = said.why;
        circuit::script_calls const calls(prefix(), name, layout_, {}, {}, "weir-admin");
        redis::command command;
        circuit::script_reply reply;
        calls.encode(command, request);
        auto const [ec] = co_await client_.async_exec(command, reply, {}, use_result);
        auto const answer = ec ? std::nullopt : circuit::read_reply(reply);
        if (!answer)
            co_return refused(503, "Redis does not do it: " + ec.message());
        bool const changed = static_cast<circuit::override_result>(answer->extra) == circuit::override_result::done;
        co_return api_answer{200, {{"name", name}, {"state", to_string(answer->view.now)}, {"changed", changed}}, {}};
    }
};

} // namespace

api_resource circuits_resource(proxy::server const& of, redis::client& client) {
    auto const desk = std::make_shared<circuit_desk const>(of, client);
    return {"circuits", {"GET", "POST"}, [desk](api_request const& asked) { return desk->answer(asked); }};
}

} // namespace weir::admin
