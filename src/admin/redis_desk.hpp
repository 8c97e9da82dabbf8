#pragma once

#include "admin/api.hpp"
#include "proxy/server.hpp"

#include <weir/key.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/reply.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string>

namespace weir::admin {

/// What resources share that answer from Redis. The proxy and the client must outlive it.
class redis_desk {
protected:
    redis_desk(proxy::server const& of, redis::client& client)
        : server_(of)
        , client_(client)
        , layout_(client.options().server.topology == redis::topology::cluster ? key_layout::cluster
                                                                               : key_layout::standalone) {}
    ~redis_desk() = default;

    // It cannot be changed in a running server.
    std::string prefix() const { return server_.config()->redis.key_prefix; }

    asio::awaitable<error_code> ask(redis::command command, redis::flat_reply& into) const;
    /// The clock of the server that owns `slot`, in microseconds since 1970: each has its own.
    asio::awaitable<error_code> read_time(std::uint16_t slot, std::int64_t& now) const;
    static api_answer silent(error_code ec) { return refused(503, "Redis does not say: " + ec.message()); }

    proxy::server const& server_;
    redis::client& client_;
    key_layout const layout_;
};

} // namespace weir::admin
