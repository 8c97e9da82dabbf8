#pragma once

#include "proxy/client_stream.hpp"
#include "proxy/io.hpp"
#include "service/lock_order.hpp"

#include <boost/asio/cancellation_signal.hpp>

#include <cstdint>
#include <string>

namespace weir::lock {
class manager;
}
namespace weir::redis {
class client;
}

namespace weir::service {

/// Takes locks for programs that ask over HTTP, and renews and gives back what
/// they hold by the text they were given. Nothing is kept here between the
/// requests, so that any instance can answer any of them.
///
/// Belongs to one request, on its worker's thread.
class lock_desk final : public proxy::client_stream::leave_listener {
public:
    /// All arguments must outlive the object.
    lock_desk(lock::manager& locks, proxy::client_stream& client) noexcept
        : locks_(locks)
        , client_(client) {}

    /// Does what is ordered; the answer, a JSON document, is then in `into`.
    /// Errors: those of `manager::async_lock` other than that the lock is busy;
    /// `errc::cancelled`, the client has left.
    proxy::awaitable<error_code> run(std::string name, lock_order order, std::string& into);

    void on_client_left() override { stop_.emit(asio::cancellation_type::terminal); }

private:
    proxy::awaitable<error_code> acquire(std::string const& name, lock_order const& order, std::string& into);
    proxy::awaitable<error_code> settle(std::string const& name, lock_order const& order, std::string& into);

    lock::manager& locks_;
    proxy::client_stream& client_;
    asio::cancellation_signal stop_;
};

} // namespace weir::service
