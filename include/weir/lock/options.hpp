#pragma once

#include <weir/error.hpp>
#include <weir/lock/lease_clock.hpp>
#include <weir/lock/script.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::lock {

/// What a lock must have survived before it counts as taken.
enum class durability : std::uint8_t {
    /// The master knows of it.
    none,
    /// So does one replica.
    one,
    /// So do, with the master, more than half of the master and its `lock_options::replicas`.
    majority,
};

/// Waits without end.
inline constexpr std::chrono::milliseconds without_end = std::chrono::milliseconds::max();

/// How a lock is taken and kept. Trivially copyable: gcc 12 destroys twice what else a braced argument of a `co_await`
/// holds.
struct lock_options {
    /// For how long Redis keeps it for a holder that is not heard of; 10 ms to 24 hours.
    std::chrono::milliseconds ttl{30'000};
    /// How long to wait for it; 0: asks once, in one round trip; `without_end`.
    std::chrono::milliseconds wait{0};
    /// Who waits is asked for a sign of life four times in it, and loses his place after it without one; so a dead one
    /// holds up those behind him no longer. 40 ms to 10 minutes.
    std::chrono::milliseconds heartbeat{2000};
    /// How long before the lease ends unrenewed the loss is told; below a half of the ttl. 0: a tenth of the ttl, at
    /// most one second.
    std::chrono::milliseconds loss_margin{0};
    /// Whether it is renewed by itself, every third of the ttl.
    bool renew = true;
    /// Whether who waited holds it as soon as he is told that it was handed to him: for what is left of his heartbeat
    /// at first, and for all of the ttl from a renewal soon after. Otherwise, and where the lock is durable, the ttl
    /// shorter than the heartbeat, or the margin takes most of that, he asks first, and has all of the ttl at once.
    bool prompt = true;
    /// The wait for replicas takes a connection of its own, and part of the ttl, at most a third.
    durability durable = durability::none;
    /// How many replicas the master has; for `durability::majority`, 1 to 100.
    unsigned replicas = 0;
    /// Whoever already holds the lock by a lease of this manager that is valid, taken with the same address here, gets
    /// another handle of that lease with the same fence, and gives the lock back with the last of them. Null: never.
    void const* owner = nullptr;
    /// On whose behalf: for operators, behind the manager's `who`. Must live until the operation has begun.
    std::string_view on_behalf_of{};
};

/// How much of a lock is taken. A mutex is all of it.
struct portion {
    /// 1 to `limit`.
    std::uint32_t weight = 1;
    /// Weights held at once never exceed it; 1 to `max_limit`.
    std::uint32_t limit = 1;
};

/// What a manager tells metrics and logs. Override what is of interest. All calls come on its thread and must not call
/// back into it.
class lock_observer {
public:
    /// `since_offer`: since the one before gave it back, by the server's clock; 0: it was free.
    virtual void on_acquired(std::string_view /*name*/, std::chrono::nanoseconds /*waited*/,
                             std::chrono::microseconds /*since_offer*/) {}
    /// It was not obtained.
    virtual void on_refused(std::string_view /*name*/, error_code /*why*/, std::chrono::nanoseconds /*waited*/) {}
    virtual void on_released(std::string_view /*name*/, std::chrono::nanoseconds /*held*/) {}
    virtual void on_lost(std::string_view /*name*/, std::chrono::nanoseconds /*held*/) {}

protected:
    ~lock_observer() = default;
};

/// Faults that tests build in, to prove that they would find them.
enum class known_fault : std::uint8_t {
    none,
    /// A lease counts from the answer instead of from the request.
    deadline_from_answer,
    /// Who waits does not look again when the subscription stands.
    no_second_look,
};

struct manager_options {
    /// Goes before every key and channel.
    std::string key_prefix{};
    /// For operators; empty: the name of the machine and the number of the process.
    std::string who{};
    /// May be null; must outlive the manager.
    lock_observer* observer = nullptr;
    /// What runs in Redis: as it is, but where a test proves that it would find a fault.
    script_set const* code = &production_scripts();
    /// For tests alone.
    known_fault fault = known_fault::none;
};

/// Throws `std::invalid_argument`, naming what is out of range.
WEIR_DECL void validate(std::string_view name, lock_options const& how, portion what);

} // namespace weir::lock

#if defined(WEIR_HEADER_ONLY)
#include <weir/lock/impl/options.ipp>
#endif
