#pragma once

#include "proxy/client_stream.hpp"
#include "proxy/exchange.hpp"
#include "proxy/forwarder.hpp"
#include "proxy/services.hpp"

#include <boost/intrusive/list.hpp>

#include <memory>
#include <string>

namespace weir::proxy {

/// One client connection: one coroutine that reads a head, checks it, finds its route, and has it refused or forwarded,
/// again and again until either side ends it.
///
/// Belongs to its worker's thread; is in the worker's list as long as it lives.
class connection final
    : public std::enable_shared_from_this<connection>,
      public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    connection(services& all, tcp_socket socket, tcp::endpoint const& peer);

    /// Serves until the connection ends. Call once, on an object held by a shared_ptr that outlives the coroutine.
    awaitable<void> run();

    /// The worker has begun to drain: do not wait long for another request.
    void drain();

    /// Breaks off whatever is under way; run() ends soon after.
    void abort() noexcept;

private:
    struct verdict {
        unsigned status = 0; // 0: go on
        std::string_view reason;
    };

    awaitable<bool> read_head();
    awaitable<bool> serve();
    awaitable<bool> forward();
    awaitable<bool> refuse(verdict why, bool keep_alive);
    awaitable<void> linger();
    verdict check();
    void find_client();
    awaitable<bool> skip_body();
    void begin_exchange();
    void end_exchange();
    void record();
    void reset_on_close() noexcept;

    services& services_;
    client_stream client_;
    std::unique_ptr<exchange> exchange_;
    asio::ip::address peer_;
    std::string peer_text_;
    http::client_address client_address_;
    std::uint64_t written_before_ = 0;
    bool client_known_ = false;
    bool idle_ = false;
    bool unread_ = false;
};

} // namespace weir::proxy
