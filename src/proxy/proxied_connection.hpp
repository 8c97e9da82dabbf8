#pragma once

#include "proxy/connection.hpp"

namespace weir::proxy {

/// A connection whose requests are admitted or refused, and forwarded to the upstream of their route.
class proxied_connection final : public connection {
public:
    using connection::connection;

private:
    awaitable<bool> serve() override;
    awaitable<bool> forward();
    awaitable<bool> ask_circuit(guard& of);
    verdict check();
    void reset_on_close() noexcept;

    /// The methods of the path that was asked for with another one.
    std::string allow_;
};

} // namespace weir::proxy
