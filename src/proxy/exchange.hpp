#pragma once

#include "proxy/body_reader.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/circuit_leave.hpp"
#include "proxy/flight_gate.hpp"
#include "proxy/held_places.hpp"
#include "proxy/lock_hold.hpp"
#include "proxy/once_gate.hpp"
#include "proxy/upstream_pool.hpp"

#include <weir/clock.hpp>
#include <weir/http/canonical_target.hpp>
#include <weir/http/head.hpp>
#include <weir/http/usage_reader.hpp>
#include <weir/metrics/blocks.hpp>
#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/decision.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::proxy {

/// The status under which the log files a request whose client did not wait for the answer (nginx's number).
inline constexpr unsigned client_closed = 499;

/// Everything that belongs to one request and its answer. Taken from the worker when the first byte of a request comes,
/// given back when its answer is written; keeps its capacity, so that a request allocates nothing.
struct exchange {
    http::request_head request;
    http::response_head response;
    http::canonical_target target;
    /// Bytes of the request in the client's buffer that are used up when the exchange ends.
    std::size_t used = 0;
    /// What was read from the client past the end of the request, beside its buffer; inside `up`.
    std::string_view surplus;
    /// Index into the routes, or `router::none`.
    std::size_t route = 0;
    std::string request_id;
    /// Who asks, as the limits count; into the request, the connection or `verified_user`. Set where it is wanted.
    std::string_view user;
    /// Who asks, and what else is known of him, where a key or token said so.
    std::string verified_user;
    std::vector<std::pair<std::string, std::string>> attributes;
    /// The head sent to the upstream; kept for a second try on a fresh connection.
    std::string upstream_head;
    /// The head, or the whole answer, sent to the client.
    std::string reply;
    /// The field lines by which an answer tells of its quota.
    std::string limit_fields;
    /// What the limits are asked; `users` holds those made of several parts.
    std::array<charge, max_rules_per_check> charges;
    std::array<std::string, max_rules_per_check> users;
    /// What the limits said; without rules where none were asked.
    weir::decision decision;
    /// What of it must be given back.
    held_places places;
    /// Names what this request has reserved; empty: nothing.
    std::string reservation;
    /// How long that is kept without being renewed.
    std::chrono::milliseconds keep{0};
    /// What looks for the use of a charge, by its index, in the response.
    std::vector<std::pair<std::size_t, std::unique_ptr<http::usage_reader>>> usages;
    /// Why the answer is our own, for the client and the log.
    std::string detail;
    upstream_handle upstream;
    /// None: its route has no lock, or it was not asked for.
    std::unique_ptr<lock_hold> lock;
    bool lock_lost() const noexcept { return lock && lock->lost(); }
    /// None: it has no Idempotency-Key, or its route does not look at it.
    std::unique_ptr<once_hold> once;
    /// None: its route shares no answers, or it can share none.
    std::unique_ptr<flight_hold> flight;
    /// Where its answer is taken down for others; null: it is not.
    response_copy* copy() const noexcept { return once ? &once->copy() : flight ? &flight->copy() : nullptr; }
    /// Of the circuit of the upstream as a whole, and of that of the target.
    circuit_leave leave;
    circuit_leave target_leave;
    /// The request body on its way up, and the response on its way down.
    buffer_pool::block up;
    buffer_pool::block down;
    /// The protocols that the client offered and the route allows, as the upstream is offered them; empty: none.
    std::string upgrade;
    /// How it went, after a switch to one of them.
    std::optional<metrics::stream_outcome> switched;

    /// The client may send another request on this connection.
    bool keep_alive = false;
    /// Bytes of an answer may have reached the client: no other answer can be given any more.
    bool answered = false;
    /// The client left before the end of the answer.
    bool cut_off = false;

    // For the log and the metrics.
    unsigned status = 0;
    /// How the last attempt failed.
    std::optional<metrics::upstream_error> upstream_error;
    std::size_t upstream_index = 0;
    /// Some of the request may have reached an upstream.
    bool sent = false;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    std::string_view upstream_target;
    boot_clock::time_point started;
    boot_clock::time_point forwarded;
    boot_clock::time_point first_byte;
    /// When its answer was complete, where somebody has looked already.
    boot_clock::time_point ended;
    std::chrono::nanoseconds upstream_time{0};
    std::chrono::nanoseconds admission_time{0};

    /// Ready for the next request.
    void reset() noexcept {
        request.reset();
        response.reset();
        lock.reset();
        once.reset();
        flight.reset();
        upstream.reset();
        leave.drop();
        target_leave.drop();
        up.release();
        down.release();
        upgrade.clear();
        switched.reset();
        request_id.clear();
        user = {};
        attributes.clear();
        limit_fields.clear();
        decision.rules.clear();
        decision.allowed = false;
        decision.request_id.clear();
        places.end();
        reservation.clear();
        usages.clear();
        detail.clear();
        upstream_error.reset();
        target.path.clear();
        target.key.clear();
        keep_alive = answered = sent = cut_off = false;
        used = 0;
        surplus = {};
        status = 0;
        bytes_in = bytes_out = 0;
        upstream_target = {};
        forwarded = first_byte = ended = {};
        upstream_time = admission_time = {};
    }
};

} // namespace weir::proxy
