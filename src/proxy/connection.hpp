#pragma once

#include "proxy/answer.hpp"
#include "proxy/client_stream.hpp"
#include "proxy/exchange.hpp"
#include "proxy/services.hpp"

#include <boost/intrusive/list.hpp>

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace weir::proxy {

/// One client connection: one coroutine that reads a head, checks it and has it answered, again and again until either
/// side ends it. What answers is up to the derived class.
///
/// Belongs to its worker's thread; is in the worker's list as long as it lives.
class connection : public std::enable_shared_from_this<connection>,
                   public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    connection(worker_parts& parts, int descriptor, tcp::endpoint const& peer);
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;
    virtual ~connection() = default;

    /// TLS is spoken on it. Before run().
    void secure(tls_context_ptr how) { client_.secure(std::move(how)); }

    /// Serves until the connection ends. Call once, on an object held by a shared_ptr that outlives the coroutine.
    awaitable<void> run();

    /// The worker has begun to drain: do not wait long for another request.
    void drain();

    /// Breaks off whatever is under way; run() ends soon after.
    void abort() noexcept;

protected:
    /// Why a request is refused. Trivial: g++ 12 destroys other aggregates twice that a co_await is given in braces.
    struct verdict {
        unsigned status = 0; // 0: go on
        std::string_view reason = {};
        /// Methods, for 405; empty: those that exist.
        std::string_view allow = {};
        std::span<http::problem_error const> errors = {};
        /// Complete field lines of the answer, instead of those about the quota.
        std::string_view fields = {};
        /// Not 0: the answer goes out under this status, with the real one in X-Weir-Status.
        unsigned sent_as = 0;
    };

    /// Answers the request whose head is in the exchange; true: another one may follow.
    virtual awaitable<bool> serve() = 0;

    /// Finds who asks, where the route of the request or the configuration wants to know; false: it is refused, see
    /// `identifier::identify`. Precondition: the request has a route.
    bool identify();
    /// Answers with a problem document; true: another request may follow. Precondition: nothing was answered.
    awaitable<bool> refuse(verdict why, bool keep_alive);
    /// Sets the status of the exchange, and gives the head of an answer of our own.
    answer_head begin_answer(unsigned status, bool keep_alive);
    /// Sends what is in the exchange's `reply`; true: another request may follow.
    awaitable<bool> send_reply();
    /// Reads the body of a request that is answered without it, where that is little; true: it is read to its end.
    awaitable<bool> skip_body();

    /// Those of the request that is served; while none is, perhaps of a configuration that is in effect no more.
    services_ptr services_;
    client_stream client_;
    std::unique_ptr<exchange> exchange_;
    std::string peer_text_;
    /// Who asks, by what the request says; found before serve().
    http::client_address client_address_;
    /// A part of the request was not read, and the client may still be sending it.
    bool unread_ = false;
    /// The client must not take the end of the connection for that of the answer.
    bool cut_ = false;

private:
    awaitable<bool> read_head();
    awaitable<void> linger();
    void find_client();
    void begin_exchange();
    void end_exchange();
    void record();

    worker_parts& parts_;
    asio::ip::address peer_;
    std::uint64_t written_before_ = 0;
    bool client_known_ = false;
    bool idle_ = false;
};

} // namespace weir::proxy
