#pragma once

#include <weir/circuit/classify.hpp>
#include <weir/circuit/member.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace weir::circuit {

class permit;

/// How often a circuit went from one state to another.
using transition_counts = std::array<std::array<std::uint64_t, state_count>, state_count>;

namespace detail {

/// Somebody who waits for leave until Redis has lent a probe, or has not.
class acquire_waiter {
public:
    /// Called once at most; a ticket that is false is a refusal.
    virtual void complete(error_code ec, ticket of) = 0;

protected:
    ~acquire_waiter() = default;
};

/// One circuit of a registry, as its handles and permits see it. Counted without atomics: all on one thread.
class circuit_state : public boost::intrusive_ref_counter<circuit_state, boost::sp_adl_block::thread_unsafe_counter> {
public:
    using executor_type = asio::io_context::executor_type;
    using set_handler = std::function<void(error_code, override_result)>;

    circuit_state(executor_type executor, std::string name, settings how, member_options options, std::uint64_t seed)
        : executor_(std::move(executor))
        , name_(std::move(name))
        , origin_(seed)
        , member_(std::move(how), options, weir::circuit::detail::next_random(seed)) {}
    circuit_state(circuit_state const&) = delete;
    circuit_state& operator=(circuit_state const&) = delete;
    virtual ~circuit_state() = default;

    executor_type get_executor() const noexcept { return executor_; }
    std::string const& name() const noexcept { return name_; }
    core& breaker() noexcept { return member_.breaker(); }
    member& fleet() noexcept { return member_; }
    transition_counts const& transitions() const noexcept { return transitions_; }

    ticket acquire(time_point now) {
        auto const leave = breaker().acquire(now);
        if (!leave) [[unlikely]]
            attend(now);
        return leave;
    }
    void record(ticket const& of, outcome what, std::chrono::nanoseconds took, time_point now,
                std::string_view error = {}) {
        if (what == outcome::failure && !error.empty())
            member_.note_error(error);
        breaker().record(of, what, took, now);
        if (breaker().has_changes() || member_.restless()) [[unlikely]]
            attend(now);
    }
    void release(ticket const& of) {
        breaker().release(of);
        if (member_.restless()) [[unlikely]]
            attend(boot_clock::now());
    }

    detached_permit detach(ticket const& of) noexcept {
        auto result = breaker().detach(of);
        result.origin = origin_;
        return result;
    }
    bool record(detached_permit const& of, outcome what, std::chrono::nanoseconds took, time_point now,
                std::string_view error) {
        if (!breaker().record(of, of.origin == origin_, what, took, now))
            return false;
        if (what == outcome::failure && !error.empty())
            member_.note_error(error);
        if (breaker().awaits_news())
            member_.missed();
        if (breaker().has_changes() || member_.restless())
            attend(now);
        return true;
    }

    /// Tells of changes, and says to Redis what is to be said. Never throws.
    virtual void attend(time_point now) noexcept = 0;
    /// Completes `who` when Redis has answered, or what it said makes waiting vain. Precondition: `want_lease` agreed.
    virtual void wait(std::shared_ptr<acquire_waiter> who, time_point now) = 0;
    /// Completes him with `errc::cancelled`, if he still waits.
    virtual void give_up(acquire_waiter const& who) = 0;
    virtual void set(override_request const& what, set_handler done) = 0;

protected:
    executor_type const executor_;
    std::string const name_;
    std::uint64_t const origin_;
    member member_;
    transition_counts transitions_{};
};

using circuit_ptr = boost::intrusive_ptr<circuit_state>;

inline permit make_permit(circuit_ptr circuit, ticket of, time_point began = boot_clock::now()) noexcept;

} // namespace detail

/// Leave for one call, to be ended by its result. Gives itself back without a result where it goes without one.
///
/// May outlive its registry. Thread safety: as its registry.
class permit {
public:
    /// Refused.
    permit() = default;
    permit(permit&& other) noexcept
        : circuit_(std::move(other.circuit_))
        , ticket_(std::exchange(other.ticket_, {}))
        , began_(other.began_) {}
    permit& operator=(permit&& other) noexcept {
        permit old(std::move(*this));
        circuit_ = std::move(other.circuit_);
        ticket_ = std::exchange(other.ticket_, {});
        began_ = other.began_;
        return *this;
    }
    /// As `release`.
    ~permit() {
        if (ticket_) [[unlikely]]
            release();
    }

    /// Whether the call may be made, and has no result yet.
    explicit operator bool() const noexcept { return static_cast<bool>(ticket_); }

    /// The call ended so, now. `error`, of a failure, appears in "why it tripped". Without effect where there is no
    /// leave or no longer.
    void record(outcome what, std::string_view error = {}) noexcept {
        auto const now = boot_clock::now();
        record(what, now - began_, now, error);
    }
    /// The same where the times are known.
    void record(outcome what, std::chrono::nanoseconds took, time_point now, std::string_view error = {}) noexcept {
        if (auto const of = std::exchange(ticket_, {}))
            circuit_->record(of, what, took, now, error);
    }
    void success() noexcept { record(outcome::success); }
    void failure(std::string_view error = {}) noexcept { record(outcome::failure, error); }

    /// The call was not made, or says nothing.
    void release() noexcept {
        if (auto const of = std::exchange(ticket_, {}))
            circuit_->release(of);
    }

    /// Gives the leave out of hand: its result goes to `breaker::record`, of this or any other instance of the fleet.
    /// Nothing where there is no leave, or the circuit has changed since it was given. A probe of the fleet of which
    /// nothing is heard is free again by its `probe_timeout`, one of this instance alone by its `half_open_for`.
    detached_permit detach() noexcept {
        auto const of = std::exchange(ticket_, {});
        return of ? circuit_->detach(of) : detached_permit{};
    }

private:
    friend class breaker;
    friend permit detail::make_permit(detail::circuit_ptr, ticket, time_point) noexcept;
    permit(detail::circuit_ptr circuit, ticket of, time_point began) noexcept
        : circuit_(std::move(circuit))
        , ticket_(of)
        , began_(began) {}

    detail::circuit_ptr circuit_;
    ticket ticket_;
    time_point began_{};
};

inline permit detail::make_permit(circuit_ptr circuit, ticket of, time_point began) noexcept {
    return {std::move(circuit), of, began};
}

} // namespace weir::circuit
