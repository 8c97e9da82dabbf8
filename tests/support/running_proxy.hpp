#pragma once

#include "proxy/server.hpp"
#include "support/http_client.hpp"

#include <memory>
#include <string>

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
    return c;
}

/// The proxy, started; stopped at the end.
class running_proxy {
public:
    explicit running_proxy(config::config c, proxy::server_options options = {})
        : server(std::make_shared<config::config const>(std::move(c)), std::move(options)) {
        server.start();
    }

    boost::asio::ip::tcp::endpoint endpoint() const { return server.endpoints().front(); }
    http_client connect() const { return http_client(endpoint()); }

    proxy::server server;
};

} // namespace weir::test
