#pragma once

#include "support/running_proxy.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// The decision service alone: nothing else listens.
inline config::config service_config(std::vector<config::limit> limits) {
    config::config c;
    c.decision.emplace().address = {"127.0.0.1", 0};
    c.trusted_proxies.push_back(asio::ip::make_network_v4("127.0.0.0/8"));
    c.workers = 1;
    c.access_log.clear();
    c.limits = std::move(limits);
    config::route all;
    all.name = "all";
    all.upstream = config::no_upstream;
    for (std::size_t i = 0; i < c.limits.size(); ++i)
        all.limits.push_back(i);
    c.routes.push_back(all);
    return c;
}

/// A POST of that body.
inline std::string post(std::string_view body, std::string_view fields = "Content-Type: application/json\r\n",
                        std::string_view target = "/v1/check") {
    return "POST " + std::string(target) + " HTTP/1.1\r\nHost: weir\r\n" + std::string(fields) +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

/// The fields by which nginx names the original request.
inline std::string original(std::string_view target, std::string_view method = "GET") {
    return "X-Original-URI: " + std::string(target) + "\r\nX-Original-Method: " + std::string(method) + "\r\n";
}

/// A client of the decision service.
inline http_client connect_to_decisions(running_proxy const& service) {
    return http_client(*service.server.decision_endpoint());
}

} // namespace weir::test
