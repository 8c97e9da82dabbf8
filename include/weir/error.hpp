#pragma once

#include <weir/detail/config.hpp>

#include <boost/system/error_code.hpp>

#include <string>
#include <string_view>
#include <type_traits>

namespace weir {

using boost::system::error_code;

/// What went wrong on the data path, with what the caller does next. Compare with `kind` for the one question that
/// matters after a failure: was the command executed?
enum class errc {
    // Not sent: nothing reached Redis. Always safe to try again.
    /// No connection, and the last attempt to make one failed. Try again later, or decide without Redis.
    not_connected = 1,
    /// The queue of operations or bytes is full. Shed load; do not retry at once.
    queue_full,
    /// The deadline passed before the command was written.
    timed_out_unsent,
    /// Cancelled before the command was written.
    cancelled_unsent,
    /// The client was closed before the command was written. Do not retry on this client.
    client_closed,

    // Outcome unknown: the command was written, its reply never came. Retry only what is idempotent.
    /// The deadline passed after the command was written.
    timed_out,
    /// Cancelled after the command was written.
    cancelled,
    /// The connection was lost after the command was written.
    connection_lost,

    // Refused: Redis answered, and did not execute the command.
    /// `-NOAUTH`: the server wants a password and none was given. Set it in the URL or in REDIS_PASSWORD.
    no_auth,
    /// `-WRONGPASS` or `-ERR invalid password`: user or password is wrong.
    wrong_password,
    /// `-NOPERM`: the ACL user may not run the command or touch the key.
    no_permission,
    /// `-OOM`: maxmemory is reached and nothing may be evicted. Raise maxmemory or set an eviction policy.
    out_of_memory,
    /// `-READONLY`: a replica, not the master.
    read_only,
    /// `-LOADING`: the server is reading its data set from disk. Try again shortly.
    loading,
    /// `-BUSY`: a script has run past `busy-reply-threshold`. Try again shortly, or SCRIPT KILL it.
    busy,
    /// `-MASTERDOWN`: a replica that may not serve stale data.
    master_down,
    /// `-CLUSTERDOWN`: the cluster has no owner for the slot.
    cluster_down,
    /// `-MOVED`, `-ASK` or `-TRYAGAIN`: the key lives on another node.
    redirected,
    /// `-CROSSSLOT`: the keys of one command live in different slots. A programmer's error.
    cross_slot,
    /// `-MISCONF`: writes are refused because the last snapshot to disk failed.
    disk_error,
    /// `-NOREPLICAS`: fewer replicas than `min-replicas-to-write`.
    no_replicas,
    /// `-NOSCRIPT` that loading the script did not heal within the deadline.
    no_script,
    /// `-WRONGTYPE`: the key holds a value of another type: somebody else writes to it.
    wrong_type,
    /// `-ERR max number of clients reached`.
    max_clients,
    /// The request id stands for a request with other rules or costs. Use an id of its own for every request.
    request_id_reused,
    /// Any other error reply.
    server_error,

    // Broken: the reply was read but cannot be what the command returns.
    /// The reply has not the shape or the arity that the command returns. A programmer's error, or a stranger's key.
    unexpected_reply,
    /// The bytes are not RESP, or the reply is larger than the limit. The connection is dropped.
    protocol_error,

    // Refused before anything was queued: a programmer's or a user's error.
    /// An argument is outside its documented range.
    invalid_argument,
    /// The URL does not name a Redis server.
    invalid_url,

    // Refused by Weir itself, in this process: the call was not made.
    /// The circuit is open, or half open and has no probe left. Try again after its `retry_after`.
    circuit_open,
    /// As many calls as the bulkhead allows are in flight. Shed load, or wait.
    bulkhead_full,
    /// The adaptive throttle sheds what the upstream would refuse. Back off.
    throttled,

    // Not sent either, and retrying cannot help.
    /// The TLS handshake failed: a certificate is refused or cannot be read, or one side does not speak TLS. Nothing
    /// was sent. What is wrong is in the client's `last_error_text`.
    tls_failed,

    // Redis answered, and there is nothing to do.
    /// No request of this id is open: it was never admitted, or its time is over, and what it reserved is charged.
    unknown_request,
    /// The request of this id is settled already.
    already_settled,

    // Locks.
    /// Somebody else holds the lock, and went on holding it for as long as was to be waited. Try again later.
    lock_busy,
    /// The lock is not held any more: its time passed without a renewal, its key was removed, or somebody broke it.
    /// Stop what it protected; what a fence guards is safe.
    lock_lost,
    /// Too few replicas acknowledged the lock in time, or too few masters granted it. It was given back; try again.
    lock_not_durable,
};

/// One more than the largest value.
inline constexpr int errc_count = static_cast<int>(errc::lock_not_durable) + 1;

/// What the caller needs to know of an `errc`: `ec == kind::not_sent` and so on.
enum class kind {
    /// Nothing reached Redis; always safe to try again.
    not_sent = 1,
    /// Written, and no reply: it may or may not have been executed. Retry only what is idempotent.
    outcome_unknown,
    /// Redis answered that it did not execute the command.
    refused,
    /// Credentials or certificates are missing or wrong: retrying cannot help.
    authentication,
    /// The reply could not be understood.
    broken,
    /// Weir itself did not let the call through: nothing was sent, and it says nothing of the upstream.
    rejected,
};

/// The category of `errc`.
WEIR_DECL const boost::system::error_category& error_category() noexcept;

/// The category of `kind`, a condition.
WEIR_DECL const boost::system::error_category& kind_category() noexcept;

/// A short lower-case word for metrics and logs, without spaces: `timed_out`, `no_auth` ...
WEIR_DECL std::string_view to_string(errc code) noexcept;

inline error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), error_category()}; }

inline boost::system::error_condition make_error_condition(kind value) noexcept {
    return {static_cast<int>(value), kind_category()};
}

/// The `errc` that the text of an error reply (without its leading `-`) stands for.
WEIR_DECL errc error_of_reply(std::string_view text) noexcept;

} // namespace weir

namespace boost::system {
template <>
struct is_error_code_enum<weir::errc> : std::true_type {};
template <>
struct is_error_condition_enum<weir::kind> : std::true_type {};
} // namespace boost::system

#if defined(WEIR_HEADER_ONLY)
#include <weir/impl/error.ipp>
#endif
