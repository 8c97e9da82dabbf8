#pragma once

#include <weir/redis/reply.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What the nodes of a Redis Cluster say of who owns which slot, without I/O.

namespace weir::redis {

/// A run of slots and the master that owns them.
struct slot_range {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    std::string host;
    std::uint16_t port = 0;
};

/// Reads the reply of CLUSTER SLOTS; none where it is no such reply. A node that names no host means the one that was
/// asked, `asked_host`. One that does not know its own name ("?", where nodes are to go by their names) is taken by the
/// address that it tells beside; without that its ranges are left out.
WEIR_DECL std::optional<std::vector<slot_range>> read_cluster_slots(flat_reply const& reply,
                                                                    std::string_view asked_host);

/// Where an error reply sends a command.
struct redirection {
    /// Only this command, preceded by ASKING; else all of the slot from now on.
    bool ask = false;
    std::uint16_t slot = 0;
    std::string host;
    std::uint16_t port = 0;
};

/// Reads `MOVED 3999 127.0.0.1:6381` and `ASK ...`; none where it is neither, or names no place. An empty host means
/// the one that said so, `from_host`.
WEIR_DECL std::optional<redirection> read_redirection(std::string_view text, std::string_view from_host);

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/cluster_map.ipp>
#endif
