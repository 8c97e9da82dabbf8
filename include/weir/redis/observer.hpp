#pragma once

#include <weir/error.hpp>
#include <weir/redis/script.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>

namespace weir::redis {

/// What a client tells metrics and logs. Override what is of interest. All calls come on the client's thread and must
/// not call back into the client; no text holds a user or a password.
class client_observer {
public:
    /// The handshake is complete; operations flow.
    virtual void on_connected() {}
    /// A connection that had been open is gone.
    virtual void on_disconnected(error_code /*why*/, std::string_view /*text*/) {}
    /// An attempt to connect failed: `text` says where and why, in the server's words where it spoke.
    virtual void on_connect_failed(error_code /*why*/, std::string_view /*text*/,
                                   std::chrono::milliseconds /*next_attempt*/) {}
    /// An operation was answered; `code` is its script, or null. `elapsed` counts from its submission.
    virtual void on_reply(script const* /*code*/, std::chrono::nanoseconds /*elapsed*/) {}
    /// An operation failed; `server_text` is empty unless Redis itself refused it.
    virtual void on_error(errc /*code*/, std::string_view /*server_text*/) {}

protected:
    ~client_observer() = default;
};

/// What a client has done and has to do. Plain counters, to be read on the client's thread.
struct client_statistics {
    /// Written and neither answered nor given up.
    std::size_t in_flight = 0;
    /// Waiting to be written.
    std::size_t queued = 0;
    /// The bytes of `queued`.
    std::size_t queued_bytes = 0;
    /// Replies that nobody waits for any more and that have yet to be swallowed.
    std::size_t tombstones = 0;

    std::uint64_t submitted = 0;
    std::uint64_t replies = 0;
    std::uint64_t batches = 0;
    std::uint64_t bytes_written = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t cancellations = 0;
    /// Attempts made again after BUSY, LOADING or NOSCRIPT.
    std::uint64_t refusals_retried = 0;
    /// Idempotent operations sent again after a lost connection.
    std::uint64_t resends = 0;
    /// SCRIPT LOADs sent because a script was gone.
    std::uint64_t scripts_reloaded = 0;
    /// Handshakes completed, the first included.
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;

    /// The sums, for what is done over several connections.
    client_statistics& operator+=(client_statistics const& other) noexcept {
        in_flight += other.in_flight;
        queued += other.queued;
        queued_bytes += other.queued_bytes;
        tombstones += other.tombstones;
        submitted += other.submitted;
        replies += other.replies;
        batches += other.batches;
        bytes_written += other.bytes_written;
        bytes_read += other.bytes_read;
        timeouts += other.timeouts;
        cancellations += other.cancellations;
        refusals_retried += other.refusals_retried;
        resends += other.resends;
        scripts_reloaded += other.scripts_reloaded;
        connects += other.connects;
        connect_failures += other.connect_failures;
        return *this;
    }
};

} // namespace weir::redis
