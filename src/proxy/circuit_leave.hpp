#pragma once

#include "proxy/deadline_wheel.hpp"
#include "proxy/guard.hpp"

#include <weir/circuit/permit.hpp>
#include <weir/clock.hpp>

#include <chrono>
#include <string_view>

namespace weir::proxy {

/// The leave that one request has of a circuit, from before it is sent until the circuit is told what came of it, once.
///
/// A circuit wants to know soon, and an answer may stream for an hour: one that has gone on for `settled_after` counts
/// as what its head made it, and where it is cut off after that, that is a call of its own, which failed.
///
/// Belongs to its exchange.
class circuit_leave final : public deadline_wheel::entry {
public:
    static constexpr std::chrono::seconds settled_after{1};

    bool held() const noexcept { return of_ != nullptr; }
    /// Whether the request may be sent. Before answered().
    bool granted() const noexcept { return static_cast<bool>(leave_); }

    /// Precondition: none is held. `of` must outlive end() or drop().
    void begin(guard& of, circuit::permit leave) noexcept {
        of_ = &of;
        leave_ = std::move(leave);
    }

    /// The head of the answer has come, `took` after the request was sent.
    void answered(deadline_wheel& wheel, circuit::outcome what, std::chrono::nanoseconds took, std::string_view error);

    /// The request has ended, and the upstream's part in it was `what`.
    void end(circuit::outcome what, std::chrono::nanoseconds took, boot_clock::time_point now, std::string_view error);

    /// Nothing is to be told.
    void drop() noexcept;

private:
    void on_deadline() override;

    guard* of_ = nullptr;
    circuit::permit leave_;
    circuit::outcome so_far_ = circuit::outcome::ignored;
    std::chrono::nanoseconds took_{0};
    std::string_view error_;
};

} // namespace weir::proxy
