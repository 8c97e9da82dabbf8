#include "proxy/circuit_leave.hpp"

namespace weir::proxy {

void circuit_leave::answered(deadline_wheel& wheel, circuit::outcome what, std::chrono::nanoseconds took,
                             std::string_view error) {
    so_far_ = what;
    took_ = took;
    error_ = error;
    wheel.expires_after(*this, settled_after);
}

void circuit_leave::on_deadline() { leave_.record(so_far_, took_, boot_clock::now(), error_); }

void circuit_leave::end(circuit::outcome what, std::chrono::nanoseconds took, boot_clock::time_point now,
                        std::string_view error) {
    never();
    auto& of = *std::exchange(of_, nullptr);
    if (leave_)
        return leave_.record(what, took, now, error);
    if (what != so_far_ && what == circuit::outcome::failure)
        if (auto another = of.breaker().try_acquire(now))
            another.record(what, std::chrono::nanoseconds{0}, now, error);
}

void circuit_leave::drop() noexcept {
    never();
    of_ = nullptr;
    leave_.release();
}

} // namespace weir::proxy
