#pragma once

#include "proxy/server.hpp"
#include "support/http_client.hpp"
#include "support/redis_fixture.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace weir::test {

/// A configuration of one route `all` to one upstream on that port, listening on a free port, with one worker.
inline config::config proxy_config(std::uint16_t upstream_port) {
    config::config c;
    c.listen.push_back({"127.0.0.1", 0});
    c.workers = 1;
    config::upstream up;
    up.name = "api";
    up.targets.push_back({"127.0.0.1", upstream_port, "127.0.0.1:" + std::to_string(upstream_port)});
    c.upstreams.push_back(up);
    config::route all;
    all.name = "all";
    c.routes.push_back(all);
    c.access_log.clear();
    c.redis.timeout = std::chrono::seconds{10}; // that passes only where a test wants it to
    return c;
}

/// A limit of an hour.
inline config::limit hourly(std::string name, std::uint64_t limit) {
    config::limit made;
    made.rule.name = std::move(name);
    made.rule.limit = limit;
    made.rule.window = std::chrono::hours{1};
    return made;
}

/// What it takes besides, with that Redis.
inline proxy::server_options options_for(redis_server const& redis) {
    proxy::server_options how;
    how.redis.server = address_of(redis.url());
    return how;
}

/// The proxy, started; stopped at the end.
class running_proxy {
public:
    explicit running_proxy(config::config c, proxy::server_options options = {})
        : uses_redis_(c.needs_redis())
        , server(std::make_shared<config::config const>(std::move(c)), std::move(options)) {
        server.start();
        await_redis();
    }

    boost::asio::ip::tcp::endpoint endpoint() const { return server.endpoints().front(); }
    http_client connect() const { return http_client(endpoint()); }

    /// Decisions so far, of all workers: by one rule, or by all.
    std::uint64_t decided(outcome which, std::optional<std::size_t> rule = {}) const {
        auto const& counters = *server.counters();
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < counters.workers(); ++i)
            for (std::size_t r = 0; r < counters.worker(i).rules.size(); ++r)
                if (!rule || r == *rule)
                    total += counters.worker(i).rules[r].decisions[which].value();
        return total;
    }

private:
    bool const uses_redis_;

public:
    proxy::server server;

private:
    /// What comes before Redis is there is decided without it. Where it is away, a test need not wait long to know.
    void await_redis() const {
        auto const& counters = *server.counters();
        auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{2};
        for (std::size_t i = 0; i < counters.workers(); ++i)
            while (counters.worker(i).redis.up.value() == 0 && uses_redis_ && std::chrono::steady_clock::now() < end)
                std::this_thread::yield();
    }
};

} // namespace weir::test
