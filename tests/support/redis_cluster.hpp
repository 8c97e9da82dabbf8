#pragma once

#include "support/certificates.hpp"
#include "support/redis_server.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace weir::test {

/// A real Redis Cluster: masters, each with one replica, on free ports of 127.0.0.1, all slots covered when the
/// constructor returns.
class redis_cluster {
public:
    struct options {
        std::size_t masters = 3;
        /// Where given, the nodes speak TLS among themselves and to clients, and tell those their TLS ports alone.
        certificates const* tls = nullptr;
        /// A master that is away for so long is failed over: long where a test wants no such thing, however busy the
        /// machine.
        std::chrono::milliseconds node_timeout{500};
    };
    redis_cluster()
        : redis_cluster(options{}) {}
    explicit redis_cluster(options how);

    /// Nodes in the order of their start: first the masters, then the replica of each.
    redis_server& node(std::size_t index) { return *nodes_[index]; }
    std::size_t masters() const noexcept { return options_.masters; }
    std::size_t size() const noexcept { return nodes_.size(); }
    std::string url(std::size_t index = 0) const { return nodes_[index]->tcp_url(); }
    /// The one that the others know it by: that for TLS where there is one.
    std::uint16_t port(std::size_t index) const { return ports_[index]; }
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

    /// Returns when every node that runs says that the cluster is up, and the same of who owns what since which epoch.
    void wait_until_agreed();

private:
    redis_server& start_node();
    void introduce(std::size_t index);

    options options_;
    std::vector<std::uint16_t> ports_;
    std::vector<std::unique_ptr<redis_server>> nodes_;
    std::vector<std::string> ids_;
};

} // namespace weir::test
