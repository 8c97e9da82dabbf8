#include "service/circuit_desk.hpp"

#include <weir/http/circuit_filter.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace weir::service {
namespace {

using nlohmann::ordered_json;
using proxy::awaitable;
using proxy::use_result;
using std::chrono::microseconds;
using std::chrono::milliseconds;

microseconds wall_clock() {
    return std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch());
}

} // namespace

/// A half-open circuit's leave may take a trip to Redis.
awaitable<circuit::permit> circuit_desk::wait(proxy::client_stream& client) {
    client.watch(*this);
    auto [ec, leave] =
        co_await circuit_.breaker().async_acquire(asio::bind_cancellation_slot(stop_.slot(), use_result));
    client.stop_watching();
    co_return std::move(leave);
}

awaitable<void> circuit_desk::permit(proxy::client_stream& client, proxy::id_source& ids, std::string& into,
                                     std::string& fields) {
    auto& of = circuit_.breaker();
    circuit::permit leave;
    if (circuit_.decides_at_once()) // no co_await in a ?:, whose operands g++ 12 destroys twice
        leave = of.try_acquire();
    else
        leave = co_await wait(client);
    if (client.gone())
        co_return; // the leave gives itself back
    auto const given = leave.detach();
    ordered_json answer{{"granted", static_cast<bool>(given)},
                        {"name", of.name()},
                        {"state", to_string(of.now())},
                        {"epoch", of.epoch()}};
    if (given) {
        answer["permit"] = seal_.write({given, ids.random(), wall_clock()});
        if (given.lease != 0)
            answer["result_within_ms"] = of.how().probe_timeout.count();
    } else {
        circuit_.count_refusal();
        http::append_retry_after(fields, of);
        auto const wait = std::chrono::ceil<milliseconds>(of.retry_after());
        answer["retry_after_ms"] = (wait.count() > 0 ? wait : milliseconds{http::seconds_to_wait(of)}).count();
    }
    into = answer.dump();
}

std::string circuit_desk::result(circuit_result const& said, used_permits& used) {
    auto const why = take(said, used);
    auto const& of = circuit_.breaker();
    ordered_json answer{{"counted", why.empty()}, {"name", of.name()}, {"state", to_string(of.now())}};
    if (!why.empty())
        answer["reason"] = why;
    return answer.dump();
}

/// Why it does not count; empty: it does.
std::string_view circuit_desk::take(circuit_result const& said, used_permits& used) {
    auto const passed = wall_clock() - said.of.at;
    if (passed > longest_call)
        return "expired";
    if (!used.add(said.of.number))
        return "used";
    auto& of = circuit_.breaker();
    // Clocks of two machines differ; no call took less than nothing.
    auto const took = said.took ? microseconds{*said.took} : std::max(passed, microseconds{0});
    if (!of.record(said.of.leave, said.what, took, said.error))
        return "stale";
    if (of.now() == circuit::state::disabled)
        return "disabled";
    return said.what == circuit::outcome::ignored ? "ignored" : "";
}

} // namespace weir::service
