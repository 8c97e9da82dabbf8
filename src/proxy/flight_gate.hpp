#pragma once

#include "config/config.hpp"
#include "proxy/client_stream.hpp"
#include "proxy/io.hpp"
#include "proxy/response_copy.hpp"

#include <weir/lock/lease.hpp>

#include <boost/asio/cancellation_signal.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::lock {
class manager;
}
namespace weir::redis {
class client;
}

namespace weir::proxy {

struct exchange;

/// One request among those that ask for the same: it leads, and its answer is given to the others, or it waits for the
/// answer of the one that does.
///
/// Belongs to its exchange, and to the worker's thread.
class flight_hold final : public client_stream::leave_listener {
public:
    /// `how` must outlive the object.
    flight_hold(config::single_flight const& how, std::string name)
        : how_(how)
        , name_(std::move(name))
        , copy_(how.max_answer, {}) {}

    enum class part {
        /// It is sent to the upstream, and others may wait for it.
        leads,
        /// It is given what another was answered.
        shares,
        /// It is sent to the upstream, and nobody waits for it.
        alone,
    };
    part now() const noexcept { return now_; }
    response_copy& copy() noexcept { return copy_; }

    /// The head of the answer has come: whether it may be given to others.
    void judge(http::response_head const& answer);

    asio::cancellation_slot slot() noexcept { return stop_.slot(); }
    void on_client_left() override { stop_.emit(asio::cancellation_type::terminal); }

private:
    friend class flight_gate;

    config::single_flight const& how_;
    std::string name_;
    response_copy copy_;
    lock::lease lease_;
    asio::cancellation_signal stop_;
    part now_ = part::alone;
    bool may_share_ = false;
};

/// For the log.
std::string_view to_string(flight_hold::part what) noexcept;

/// Lets one of those requests go to the upstream that are safe, under way at the same time on any instance, and ask for
/// the same; the others get its answer. Nobody gets an answer that was made before he asked.
///
/// Belongs to its worker's thread.
class flight_gate {
public:
    /// All arguments must outlive the gate.
    flight_gate(config::config const& config, lock::manager& locks, redis::client& redis)
        : config_(config)
        , locks_(locks)
        , redis_(redis) {}
    flight_gate(flight_gate const&) = delete;
    flight_gate& operator=(flight_gate const&) = delete;

    /// Whether others may wait for it: it is safe, has no body, and does not insist on an answer of its own.
    static bool concerns(exchange const& x) noexcept;

    enum class verdict {
        /// It is to be sent; then `x.flight` is there, and end() must follow.
        send,
        /// `answer` is a copy of what another was answered.
        share,
        /// The client has left meanwhile.
        gone,
    };
    /// Precondition: the route of `x` has it so, concerns() holds, and `x.user` says who asks.
    awaitable<verdict> join(exchange& x, client_stream& client, std::string& answer);

    /// The whole answer of the upstream was taken down: those who wait get it. Does not wait for Redis.
    void complete(exchange& x);
    /// The request has ended, however it did: where it has no answer, one of those who wait goes next.
    static void end(exchange& x);

private:
    std::string name_of(exchange const& x) const;

    config::config const& config_;
    lock::manager& locks_;
    redis::client& redis_;
};

} // namespace weir::proxy
