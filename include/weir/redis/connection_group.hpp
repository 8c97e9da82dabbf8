#pragma once

#include <weir/redis/alarm.hpp>
#include <weir/redis/connection.hpp>

#include <memory>
#include <string>
#include <utility>

namespace weir::redis::detail {

/// What a cluster and the group behind sentinels have in common: several connections, of which each operation takes
/// the right one. What cannot be sent yet waits in the pipeline of the base, which has no connection of its own, under
/// the deadlines of the operations.
class connection_group : public backend, protected connection_owner {
public:
    WEIR_DECL void cancel(operation& what) final;

protected:
    using backend::backend;
    using link = std::shared_ptr<connection>;
    using place = std::pair<std::string, std::uint16_t>;

    /// The group's options for one server of it.
    WEIR_DECL client_options options_for(place const& where) const;
    /// A connection that is being made, and tells this group.
    WEIR_DECL link connect_to(client_options options);
    /// Ends a connection, of which nothing more is heard; does nothing where there is none.
    WEIR_DECL static void leave(link& which);
    /// As `leave`, of a connection that has served: what it has done stays in `stats`.
    WEIR_DECL void retire(link& which);
    /// What the statistics hold besides those of the present connections.
    WEIR_DECL client_statistics stats_of_the_past() const;

    WEIR_DECL void send(operation& what, connection& to, clock::time_point now);
    WEIR_DECL void park(operation& what, clock::time_point now);
    WEIR_DECL void refuse(operation& what, error_code why);
    /// What waits to be written on `of` waits here instead.
    WEIR_DECL void park_queued_of(connection& of, clock::time_point now);
    /// Routes all that waits here.
    WEIR_DECL void send_parked(clock::time_point now);
    /// With no server in reach, what waits is refused, and what comes until `pipeline_.open()`.
    WEIR_DECL void out_of_reach(errc why);

private:
    client_statistics retired_;
};

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/connection_group.ipp>
#endif
