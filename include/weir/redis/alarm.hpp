#pragma once

#include <weir/clock.hpp>
#include <weir/error.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

#include <utility>

namespace weir::redis::detail {

/// A timer that is set anew at any time, and rings for its last setting alone. It rings one turn of the loop after it
/// is found due: where the loop was kept from turning, the sockets shall tell first what came in time. Thread safety:
/// unsafe.
class alarm {
public:
    using clock = boot_clock;

    explicit alarm(asio::io_context& context)
        : timer_(context.get_executor()) {}

    /// Calls `ring(found)` at `when`, in place of what was set before; what was there to read at `found` has been read.
    /// Precondition: `ring` keeps this object alive.
    template <class Ring>
    void set(clock::time_point when, Ring&& ring) {
        timer_.expires_at(when);
        await([this, ring = std::forward<Ring>(ring)](clock::time_point found) mutable {
            await([ring = std::move(ring), found](clock::time_point) mutable { ring(found); });
        });
    }

    void cancel() { timer_.cancel(); }

private:
    template <class Due>
    void await(Due&& due) {
        timer_.async_wait([this, due = std::forward<Due>(due)](error_code ec) mutable {
            // One that was due already when the alarm was set anew is nobody's.
            if (auto const now = clock::now(); !ec && timer_.expiry() <= now)
                due(now);
        });
    }

    asio::basic_waitable_timer<clock, asio::wait_traits<clock>, asio::io_context::executor_type> timer_;
};

} // namespace weir::redis::detail
