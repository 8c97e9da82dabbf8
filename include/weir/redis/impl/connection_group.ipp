#pragma once

#include <weir/redis/connection_group.hpp>

#include <tuple>

namespace weir::redis::detail {

WEIR_DECL void connection_group::cancel(operation& what) {
    if (auto* const holder = static_cast<connection*>(what.holder))
        holder->cancel(what);
    else
        backend::cancel(what);
}

WEIR_DECL client_options connection_group::options_for(place const& where) const {
    auto made = options_;
    std::tie(made.server.host, made.server.port) = where;
    made.server.topology = topology::standalone;
    made.server.nodes.clear();
    return made;
}

WEIR_DECL connection_group::link connection_group::connect_to(client_options options) {
    auto made = std::make_shared<connection>(context_, std::move(options), static_cast<connection_owner*>(this));
    made->start();
    return made;
}

WEIR_DECL void connection_group::leave(link& which) {
    if (!which)
        return;
    which->disown();
    which->close();
    which.reset();
}

WEIR_DECL void connection_group::retire(link& which) {
    if (!which)
        return;
    auto done = which->stats();
    done.in_flight = done.queued = done.queued_bytes = done.tombstones = 0;
    retired_ += done;
    leave(which);
}

WEIR_DECL client_statistics connection_group::stats_of_the_past() const {
    auto sum = pipeline_.stats();
    sum.connects = sum.connect_failures = 0; // the connections count theirs
    return sum += retired_;
}

WEIR_DECL void connection_group::send(operation& what, connection& to, clock::time_point now) {
    what.holder = &to;
    to.route(what, now);
}

WEIR_DECL void connection_group::park(operation& what, clock::time_point now) {
    what.holder = nullptr;
    what.asking = false;
    pipeline_.submit(what, now);
    schedule();
}

WEIR_DECL void connection_group::refuse(operation& what, error_code why) {
    what.holder = nullptr;
    pipeline_.refuse(what, why);
    schedule();
}

WEIR_DECL void connection_group::park_queued_of(connection& of, clock::time_point now) {
    operation_list queued;
    of.take_queued(queued);
    while (!queued.empty()) {
        auto& first = queued.front();
        queued.pop_front();
        park(first, now);
    }
}

WEIR_DECL void connection_group::send_parked(clock::time_point now) {
    operation_list parked;
    pipeline_.take_queued(parked);
    while (!parked.empty()) {
        auto& first = parked.front();
        parked.pop_front();
        route(first, now);
    }
    schedule();
}

WEIR_DECL void connection_group::out_of_reach(errc why) {
    pipeline_.connect_failed(why);
    schedule();
}

} // namespace weir::redis::detail
