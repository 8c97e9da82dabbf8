#pragma once

#include "proxy/connection.hpp"
#include "service/planned_checks.hpp"

#include <memory>
#include <string_view>

namespace weir::service {

/// A connection to the decision service: `/authorize` for proxies that ask before they forward, `POST /v1/check` for
/// programs, `POST /v1/locks/NAME` for those that take locks, `POST /v1/circuits/NAME/permit` and `/result` for those
/// whose calls may fail, `GET /openapi.json` for whoever wants to know more.
class service_connection final : public proxy::connection {
public:
    using connection::connection;

private:
    proxy::awaitable<bool> serve() override;
    proxy::awaitable<bool> authorize(std::string_view query);
    proxy::awaitable<bool> check(question what);
    proxy::awaitable<bool> lock(std::string_view name);
    proxy::awaitable<bool> circuit(std::string_view name_and_action);
    verdict find_circuit(std::string_view encoded, std::size_t& index);
    proxy::awaitable<bool> describe();
    verdict find_route();
    verdict admit_post() const;
    proxy::awaitable<verdict> read_body(std::string_view& body);
    proxy::awaitable<bool> take_body(verdict why, std::string_view& body, bool& keep);
    proxy::awaitable<bool> refuse_body(std::vector<body_issue> const& issues);
    proxy::awaitable<bool> refuse_unread(verdict why);
    proxy::awaitable<bool> answer(std::string_view content_type, std::string_view body, bool keep_alive);

    /// Made by the first check on this connection.
    std::unique_ptr<planned_checks> checks_;
};

} // namespace weir::service
