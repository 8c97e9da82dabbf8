#pragma once

#include "support/redis_server.hpp"

#include <memory>
#include <string>
#include <vector>

namespace weir::test {

/// A real Redis Cluster: masters, each with one replica, on free ports of 127.0.0.1, all slots covered when the
/// constructor returns. A master that is away for half a second is failed over.
class redis_cluster {
public:
    explicit redis_cluster(std::size_t masters = 3);

    /// Nodes in the order of their start: first the masters, then the replica of each.
    redis_server& node(std::size_t index) { return *nodes_[index]; }
    std::size_t masters() const noexcept { return masters_; }
    std::size_t size() const noexcept { return nodes_.size(); }
    std::string url(std::size_t index = 0) const { return nodes_[index]->tcp_url(); }
    std::string const& id(std::size_t index) const { return ids_[index]; }

    /// The index of the node that says it owns a slot.
    std::size_t owner(std::uint16_t slot);
    /// An integer command at whoever owns the key, wherever that is; 0 where there is no such key.
    std::int64_t integer(std::string_view key, std::initializer_list<std::string_view> command);

    /// The steps of moving a slot: declared on both sides; one key after the other; and told to all masters,
    /// until all agree.
    void begin_move(std::uint16_t slot, std::size_t to);
    void move_keys(std::uint16_t slot, std::size_t to, std::size_t at_most = 1'000'000);
    void end_move(std::uint16_t slot, std::size_t to);

    /// Adds a node, which owns nothing yet; its index, once all know of it.
    std::size_t add_node();
    /// Takes a node out that owns nothing, and ends it.
    void remove_node(std::size_t index);
    /// A command to every node that runs, each of which must answer OK.
    void run_everywhere(std::initializer_list<std::string_view> command);

    /// Returns when every node that runs says that the cluster is up and who owns what.
    void wait_until_agreed();

private:
    redis_server& start_node();
    void introduce(std::size_t index);

    std::size_t masters_;
    std::vector<std::unique_ptr<redis_server>> nodes_;
    std::vector<std::string> ids_;
};

} // namespace weir::test
