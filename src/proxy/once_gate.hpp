#pragma once

#include "config/config.hpp"
#include "proxy/deadline_wheel.hpp"
#include "proxy/io.hpp"
#include "proxy/response_copy.hpp"

#include <weir/lock/idempotency.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace weir::proxy {

struct exchange;
struct services;
class once_gate;

/// One request that bears an Idempotency-Key, until its answer is kept, or it is given up so that another may execute
/// it.
///
/// Belongs to its exchange. Without once_gate::end() the record is free again when its silence is over.
class once_hold final : public deadline_wheel::entry {
public:
    enum class outcome {
        /// It is executed here, and has no answer yet.
        executing,
        /// Its answer is kept.
        kept,
        /// It was executed; what it answered is too long to be kept, or a stream.
        not_kept,
        /// It was answered by what was kept.
        replayed,
        /// Redis is away, and it is executed all the same.
        unrecorded,
        /// Given up, or refused.
        ended,
    };

    once_hold(once_gate& gate, config::idempotency const& how, std::string key, std::string print)
        : gate_(gate)
        , key_(std::move(key))
        , print_(std::move(print))
        , copy_(how.max_answer, how.fields) {}

    /// What becomes of the client does not matter: the upstream is heard to the end.
    bool goes_on_alone() const noexcept { return now_ == outcome::executing && !copy_.too_much(); }
    outcome now() const noexcept { return now_; }
    response_copy& copy() noexcept { return copy_; }

private:
    friend class once_gate;
    void on_deadline() override;

    once_gate& gate_;
    std::string key_, print_;
    lock::idempotency_record record_;
    response_copy copy_;
    outcome now_ = outcome::executing;
};

/// For the log.
std::string_view to_string(once_hold::outcome what) noexcept;

/// Has requests that bear an Idempotency-Key executed once, however often they are sent
/// (draft-ietf-httpapi-idempotency-key-header-07): the first answer is kept in Redis and given to those that follow.
///
/// Belongs to its worker's thread.
class once_gate {
public:
    /// `finishing` counts what Redis has yet to hear of. All arguments must outlive the gate, which must outlive the
    /// requests that it lets in.
    once_gate(config::config const& config, redis::client& redis, deadline_wheel& wheel, std::size_t& finishing);
    once_gate(once_gate const&) = delete;
    once_gate& operator=(once_gate const&) = delete;

    /// Whose it is: kept alive until Redis has heard of what has ended. Before the first request.
    void belong_to(services& owner) noexcept { owner_ = &owner; }

    /// What the field says: the key; empty, there is none. False where it cannot be one, or stands twice: `x.status` is
    /// 400, and `x.detail` says why. Precondition: the route of `x` wants to know.
    static bool read_key(exchange& x, std::string_view& key);
    /// Whether a request of that method is executed once: those that are not so by definition (RFC 9110 9.2.2).
    static bool concerns(boost::beast::http::verb method) noexcept {
        return method == boost::beast::http::verb::post || method == boost::beast::http::verb::patch;
    }

    enum class verdict {
        /// It is to be executed: `x.once` is there, and complete() or end() must follow.
        execute,
        /// `replay` is what was answered.
        replay,
        /// `x.status` is 409, 422 or 503, and `x.detail` says why.
        refused,
    };
    /// Precondition: `body` is all of the request's.
    awaitable<verdict> begin(exchange& x, std::string_view key, std::string_view body, std::string& replay);

    /// The whole answer of the upstream was taken down. Returns when Redis has it, or has not for its timeout.
    awaitable<void> complete(exchange& x);
    /// The request has ended, however it did: where it has no answer, another may execute it.
    void end(exchange& x);
    void renew(once_hold& of);

private:
    verdict explain(exchange& x, lock::idempotency_record const& found, std::string& replay);

    config::config const& config_;
    lock::idempotency records_;
    deadline_wheel& wheel_;
    std::size_t& finishing_;
    services* owner_ = nullptr;
};

} // namespace weir::proxy
