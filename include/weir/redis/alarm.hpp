#pragma once

#include <weir/clock.hpp>
#include <weir/error.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

#include <utility>

namespace weir::redis::detail {

/// A timer that is set anew at any time, and rings for its last setting alone. Thread safety: unsafe.
class alarm {
public:
    using clock = boot_clock;

    explicit alarm(asio::io_context& context)
        : timer_(context.get_executor()) {}

    /// Calls `ring` at `when`, in place of what was set before. Precondition: `ring` keeps this object alive.
    template <class Ring>
    void set(clock::time_point when, Ring&& ring) {
        timer_.expires_at(when);
        timer_.async_wait([this, ring = std::forward<Ring>(ring)](error_code ec) mutable {
            // One that was due already when the alarm was set anew is nobody's.
            if (!ec && timer_.expiry() <= clock::now())
                ring();
        });
    }

    void cancel() { timer_.cancel(); }

private:
    asio::basic_waitable_timer<clock, asio::wait_traits<clock>, asio::io_context::executor_type> timer_;
};

} // namespace weir::redis::detail
