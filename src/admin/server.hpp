#pragma once

#include "admin/api.hpp"
#include "config/config.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <prometheus/collectable.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace weir::admin {

/// The admin side cannot start; what() is one line that says why and what to do.
class start_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Somebody else listens where the admin side was told to; what() names the address, and what to do is for the caller
/// to say, who knows where the address was written.
class address_in_use : public start_error {
public:
    using start_error::start_error;
};

/// One thing that must be well before traffic is sent here.
struct condition {
    std::string name;
    bool ready = false;
    /// Why not, for an operator.
    std::string detail;
};

/// What runs on the server's loop, destroyed before it.
struct live_parts {
    std::vector<std::shared_ptr<void>> kept;
    std::vector<std::shared_ptr<prometheus::Collectable>> metrics;
    std::vector<api_resource> api;
};

struct server_options {
    config::endpoint address;
    /// What `Authorization: Bearer` must carry for everything but /healthz and /readyz, which tell no more than that;
    /// empty: nothing is asked for.
    std::string token;
    std::vector<std::shared_ptr<prometheus::Collectable>> metrics;
    /// Asked at each /readyz, on the server's thread.
    std::function<std::vector<condition>()> readiness;
    /// Makes what lives on the server's own loop; called once, before it runs. None: no API.
    std::function<live_parts(asio::io_context&)> live;
};

/// The admin side: the dashboard at /, /metrics, /healthz, /readyz and the API under /v1/, on a thread of its own, so
/// that neither a scrape nor a slow reader is in the way of a request.
///
/// Where it has no token, a web page in the browser of somebody on this host could reach it. So the API answers then
/// only who calls it by an address or as localhost (a name could be rebound to it), and never changes anything for a
/// request that a browser says comes from another site.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class server {
public:
    /// Listens and serves. Throws start_error when the address cannot be listened on.
    explicit server(server_options options);
    server(server const&) = delete;
    server& operator=(server const&) = delete;
    /// Ends serving.
    ~server();

    /// With the real port.
    asio::ip::tcp::endpoint endpoint() const;

private:
    class impl;
    std::unique_ptr<impl> impl_;
};

} // namespace weir::admin
