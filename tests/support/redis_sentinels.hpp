#pragma once

#include "support/redis_server.hpp"

#include <memory>
#include <string>
#include <vector>

namespace weir::test {

/// A master, a replica, and three real sentinels that watch them under the name "group": a master that is away for
/// half a second is replaced. All on free ports of 127.0.0.1.
class redis_sentinels {
public:
    /// Where one is given, `password` is that of the servers, and of the sentinels themselves with "watch-" before it.
    explicit redis_sentinels(std::string password = {});

    redis_server& server(std::size_t index) { return *servers_[index]; }
    std::uint16_t port(std::size_t sentinel) const { return ports_[sentinel]; }
    /// `redis://127.0.0.1:PORT?mode=sentinel&master=group` of the first sentinel, the others as nodes.
    std::string url() const;
    void kill(std::size_t sentinel) { sentinels_[sentinel]->kill(); }
    /// What a sentinel says to a command, its texts joined by blanks; empty where it does not answer.
    std::string say(std::size_t sentinel, char const* command) const;

private:
    std::string password_;
    temporary_directory directory_;
    std::vector<std::unique_ptr<redis_server>> servers_;
    std::vector<std::unique_ptr<redis::detail::server_process>> sentinels_;
    std::vector<std::uint16_t> ports_;
};

} // namespace weir::test
