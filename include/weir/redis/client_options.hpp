#pragma once

#include <weir/redis/observer.hpp>
#include <weir/redis/script.hpp>
#include <weir/redis/url.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace weir::redis {

/// What a client needs to know.
struct client_options {
    /// The server; of a cluster any node, by which the others are found.
    address server;
    /// Sent as CLIENT SETNAME, so that CLIENT LIST tells who is who; empty: not sent.
    std::string client_name = "weir";
    /// The deadline of an operation that names none, from its submission to its reply.
    std::chrono::milliseconds timeout{50};
    /// Past these, operations fail at once with `errc::queue_full`. As many again may be outstanding or, when the
    /// server refuses them for the moment, join the queue once more.
    std::size_t max_queued_operations = 16384;
    std::size_t max_queued_bytes = 16u << 20;
    /// A longer reply is `errc::protocol_error` and drops the connection.
    std::size_t max_reply_bytes = 16u << 20;
    /// The pause before the next attempt: at random, up to a bound that doubles from `reconnect_min` to `reconnect_max`
    /// ("full jitter"); once an operation asks for the connection, of 500 ms, or `reconnect_min`, at most.
    std::chrono::milliseconds reconnect_min{50}, reconnect_max{5000};
    /// Covers the look-up of the name, the connection and the handshake.
    std::chrono::milliseconds connect_timeout{1000};
    /// An idle connection is PINGed this often; one that owes replies and is silent for two intervals is dropped. So
    /// no command may keep the server silent for as long.
    std::chrono::milliseconds health_interval{1000};
    /// Loaded in the handshake. Others are loaded when the server is found not to know them.
    std::vector<script const*> scripts;
    /// May be null; must outlive the client.
    client_observer* observer = nullptr;
};

/// A server that keeps keys.
struct key_server {
    /// By which it is told from the others: of a cluster's node `HOST:PORT`, else what `address::display` says.
    std::string name;
    /// Of a cluster's node, the least of the slots that it owns; else 0.
    std::uint16_t slot = 0;
};

/// Tells where a server is at present; nothing: not known. See `client::address_source`.
using address_source = std::function<std::optional<address>()>;

} // namespace weir::redis
