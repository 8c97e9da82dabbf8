#pragma once

#include <weir/redis/client.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::admin {

namespace asio = boost::asio;

/// Goes through the keys of one type that begin alike, a piece at a time: by SCAN, on a cluster on one master after the
/// other in the order of the least slots that they own. A key that is there all the time and stays where it is will be
/// found, maybe twice; one whose slot moves to another master meanwhile may be missed. A master that is replaced is
/// gone through again from the beginning. Thread safety: as that of the client.
class key_walk {
public:
    /// `type` as SCAN knows it: "zset", "hash". The client must outlive it.
    key_walk(redis::client& client, std::string begin, std::string type);

    /// Goes on where another walk through the same Redis was, whose `cursor()` it was; false: it cannot be one, and
    /// nothing is changed. "0" is the beginning.
    bool resume(std::string_view cursor);
    bool ended() const noexcept { return ended_; }
    /// Where it is, "0" when it has ended.
    std::string cursor() const;

    /// Replaces `found` by the keys of the next piece, which are none or about a thousand. Any error of the client's;
    /// `unexpected_reply` where it does not speak to a Redis.
    /// Precondition: not ended.
    asio::awaitable<error_code> next(std::vector<std::string>& found);
    /// The server of the last piece: see `redis::command::at_slot`.
    std::uint16_t slot() const noexcept { return asked_slot_; }

private:
    bool on_cluster() const;
    void advance();

    redis::client& client_;
    std::string begin_, pattern_, type_;
    /// The least slot of what is left.
    unsigned least_slot_ = 0;
    /// The server that is being gone through; empty: the next one's beginning.
    std::string server_;
    std::uint64_t position_ = 0;
    std::uint16_t asked_slot_ = 0;
    bool ended_ = false;
};

} // namespace weir::admin
