#include "service/lock_desk.hpp"

#include <weir/lock/manager.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <nlohmann/json.hpp>

namespace weir::service {
namespace {

using nlohmann::ordered_json;
using proxy::awaitable;
using proxy::use_result;

} // namespace

// By value what a coroutine needs after its first suspension.
awaitable<error_code> lock_desk::run(std::string name, lock_order order, std::string& into) {
    error_code result;
    if (order.action == lock_order::what::acquire)
        result = co_await acquire(name, order, into);
    else
        result = co_await settle(name, order, into);
    co_return result;
}

awaitable<error_code> lock_desk::acquire(std::string const& name, lock_order const& order, std::string& into) {
    lock::lock_options how;
    how.ttl = order.ttl;
    how.wait = order.wait;
    how.renew = false;
    how.prompt = false; // it goes to somebody else, with all of its ttl
    how.on_behalf_of = order.who;
    client_.watch(*this);
    auto [ec, lease] = co_await locks_.async_lock(name, how, asio::bind_cancellation_slot(stop_.slot(), use_result));
    client_.stop_watching();
    if (client_.gone())
        co_return errc::cancelled; // what was granted meanwhile goes with the lease
    if (ec == errc::lock_busy) {
        into = ordered_json{{"held", false}, {"name", name}}.dump();
        co_return error_code{};
    }
    if (ec)
        co_return ec;
    auto const fence = lease.fence();
    auto const text = lease.detach();
    if (text.empty())
        co_return errc::lock_lost;
    into =
        ordered_json{{"held", true}, {"name", name}, {"fence", fence}, {"ttl_ms", order.ttl.count()}, {"lease", text}}
            .dump();
    co_return error_code{};
}

awaitable<error_code> lock_desk::settle(std::string const& name, lock_order const& order, std::string& into) {
    bool const extends = order.action == lock_order::what::extend;
    error_code ec;
    bool held = false;
    if (extends) {
        auto const [failed, still] = co_await locks_.async_extend_held(name, order.held, use_result);
        ec = failed;
        held = still;
    } else {
        auto const [failed, was] = co_await locks_.async_release_held(name, order.held, use_result);
        ec = failed;
        held = was;
    }
    if (ec)
        co_return ec;
    ordered_json answer{{extends ? "held" : "released", held}, {"name", name}, {"fence", order.held.fence}};
    if (extends && held)
        answer["ttl_ms"] = order.held.what.lasts.count();
    into = answer.dump();
    co_return error_code{};
}

} // namespace weir::service
