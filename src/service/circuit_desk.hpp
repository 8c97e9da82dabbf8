#pragma once

#include "proxy/client_stream.hpp"
#include "proxy/guard.hpp"
#include "proxy/ids.hpp"
#include "proxy/io.hpp"
#include "service/circuit_order.hpp"
#include "service/used_permits.hpp"

#include <boost/asio/cancellation_signal.hpp>

#include <string>

namespace weir::service {

/// Gives leave for calls to programs that ask over HTTP, and takes what became of them. Nothing is kept here between
/// the requests but which permits were used, so that any instance can take the result of any permit.
///
/// Belongs to one request, on its worker's thread.
class circuit_desk final : public proxy::client_stream::leave_listener {
public:
    /// All must outlive the object.
    circuit_desk(proxy::guard& circuit, permit_seal const& seal) noexcept
        : circuit_(circuit)
        , seal_(seal) {}

    /// Asks for leave; the answer, a JSON document, is then in `into`, and of a refusal the field lines to send with it
    /// in `fields`. Where the client has left meanwhile, it is left as it was, and the leave is given back.
    proxy::awaitable<void> permit(proxy::client_stream& client, proxy::id_source& ids, std::string& into,
                                  std::string& fields);

    /// Takes a result; the answer.
    std::string result(circuit_result const& said, used_permits& used);

    void on_client_left() override { stop_.emit(asio::cancellation_type::terminal); }

private:
    proxy::awaitable<circuit::permit> wait(proxy::client_stream& client);
    std::string_view take(circuit_result const& said, used_permits& used);

    proxy::guard& circuit_;
    permit_seal const& seal_;
    asio::cancellation_signal stop_;
};

} // namespace weir::service
