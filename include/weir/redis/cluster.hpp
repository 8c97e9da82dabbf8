#pragma once

#include <weir/redis/cluster_map.hpp>
#include <weir/redis/connection_group.hpp>
#include <weir/redis/hash_slot.hpp>

namespace weir::redis::detail {

class slots_request;

/// A Redis Cluster: one connection a master, and the table of which owns what.
///
/// | an operation meets                       | and is                                                            |
/// |------------------------------------------|-------------------------------------------------------------------|
/// | no table yet                             | kept until there is one; refused while no node can be reached     |
/// | MOVED                                    | sent where it says, for the whole slot from now on; table renewed |
/// | ASK                                      | sent where it says, behind ASKING                                 |
/// | TRYAGAIN, CLUSTERDOWN, LOADING, BUSY     | sent again to the same node a little later                        |
/// | READONLY, MASTERDOWN                     | kept until the table is renewed                                   |
/// | a node that cannot be reached            | kept until the table is renewed, then refused if it is the same   |
///
/// At most five times another node is tried, all within the deadline.
///
/// Nodes are trusted with the credentials and with the table, but not with any number of connections: a table of more
/// than 1024 masters (Redis itself advises at most 1000 nodes) is not believed; and where there are four times as many
/// connections as the table has masters, and 16 more, MOVED and ASK to a place not yet known open no further one: the
/// operation is kept until the table is renewed, which drops what that does not name, and tried again.
class cluster final : public connection_group {
public:
    WEIR_DECL cluster(asio::io_context& context, client_options options);
    WEIR_DECL ~cluster() override;

    WEIR_DECL void start() override;
    WEIR_DECL void flush() override;
    bool is_open() const noexcept override { return ready_ && !closed(); }
    WEIR_DECL std::optional<address> present_address() const override;
    WEIR_DECL std::vector<key_server> key_servers() const override;
    WEIR_DECL client_statistics stats() const override;

private:
    friend class slots_request;
    static constexpr std::uint16_t nobody = 0xffff;

    struct node {
        place where;
        connection_group::link link;
        /// Owns slots by the present table.
        bool listed = false;
        bool failed = false;
        clock::time_point failed_at{};
    };

    WEIR_DECL void route(operation& what, clock::time_point now) override;
    WEIR_DECL void shut() override;

    WEIR_DECL void on_open(connection& which) override;
    WEIR_DECL void on_failed(connection& which) override;
    WEIR_DECL void on_redirect(connection& from, operation& what, errc why, std::string_view text) override;
    WEIR_DECL void follow(redirection const& where, operation& what, clock::time_point now);

    WEIR_DECL std::size_t node_at(place const& where);
    WEIR_DECL bool may_reach(place const& where) const;
    WEIR_DECL std::size_t index_of(connection const& which) const noexcept;
    WEIR_DECL std::size_t any_open_node() noexcept;
    WEIR_DECL void hurry(clock::time_point now);
    WEIR_DECL void connect_seeds();

    WEIR_DECL void renew_after(std::chrono::milliseconds most);
    WEIR_DECL void renew();
    WEIR_DECL void on_slots(slots_request const& answer);
    WEIR_DECL void load(std::vector<slot_range> const& ranges);
    WEIR_DECL void drop_unlisted();
    WEIR_DECL void judge();

    std::vector<std::unique_ptr<node>> nodes_;
    std::vector<std::uint16_t> owner_of_ = std::vector<std::uint16_t>(slot_count, nobody);
    alarm renewal_;
    clock::time_point renewal_at_ = clock::time_point::max();
    clock::time_point loaded_at_{};
    std::minstd_rand random_{std::random_device{}()};
    std::size_t next_node_ = 0;
    /// How many masters the table names.
    std::size_t masters_ = 0;
    /// How many nodes have failed to tell the table since it was last told.
    std::size_t refusals_ = 0;
    bool loaded_ = false;
    bool ready_ = false;
    bool asking_ = false;
    /// Another reason to ask came while the answer was on its way, which may be older than that reason.
    bool ask_again_ = false;
};

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/cluster.ipp>
#endif
