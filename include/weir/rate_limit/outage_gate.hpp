#pragma once

#include <weir/error.hpp>

namespace weir {

/// The breaker around Redis itself: after the first signs of an outage, callers decide without it at once instead of
/// each waiting for a time-out of its own. Pure: results in, state out; its owner probes while it is open.
///
/// | state  | result                                             | next   |
/// |--------|----------------------------------------------------|--------|
/// | closed | success, or an error that concerns one key alone   | closed |
/// | closed | first time-out in a row                            | closed |
/// | closed | second time-out in a row, or any other failure     | open   |
/// | open   | a probe succeeds                                   | closed |
/// | open   | anything else                                      | open   |
///
/// Distinct objects: safe; shared objects: unsafe.
class outage_gate {
public:
    bool open() const noexcept { return open_; }

    /// What opened it, or the last failure since.
    error_code const& reason() const noexcept { return reason_; }

    void on_success() noexcept {
        open_ = false;
        timeouts_ = 0;
        reason_ = {};
    }

    /// Returns whether the gate has just opened, so that the caller starts to probe.
    bool on_failure(error_code const& failure) noexcept {
        if (!is_outage(failure))
            return false;
        reason_ = failure;
        bool const timed_out = failure == errc::timed_out || failure == errc::timed_out_unsent;
        if (open_ || (timed_out && ++timeouts_ < timeouts_to_open))
            return false;
        open_ = true;
        return true;
    }

private:
    static constexpr int timeouts_to_open = 2;

    /// Errors of one key, of the program, or of the load we make ourselves say nothing of the server's health.
    static bool is_outage(error_code const& failure) noexcept {
        return failure == errc::not_connected || failure == errc::timed_out || failure == errc::timed_out_unsent ||
               failure == errc::connection_lost || failure == kind::authentication || failure == errc::out_of_memory ||
               failure == errc::read_only || failure == errc::loading || failure == errc::busy ||
               failure == errc::master_down || failure == errc::cluster_down || failure == errc::disk_error ||
               failure == errc::no_replicas || failure == errc::max_clients || failure == errc::protocol_error;
    }

    bool open_ = false;
    int timeouts_ = 0;
    error_code reason_;
};

} // namespace weir
