#pragma once

#include <weir/redis/observer.hpp>
#include <weir/redis/operation.hpp>
#include <weir/redis/parser.hpp>

#include <boost/circular_buffer.hpp>

#include <optional>

namespace weir::redis {

/// How much a pipeline holds.
struct pipeline_limits {
    /// Operations waiting to be written, and, separately, replies outstanding.
    std::size_t max_queued_operations = 16384;
    /// Bytes waiting to be written.
    std::size_t max_queued_bytes = 16u << 20;
    /// One reply on the wire.
    std::size_t max_reply_bytes = 16u << 20;
    /// One write stops growing here; a single longer command still goes whole.
    std::size_t max_batch_bytes = 64u << 10;
};

/// Takes operations that one server would not execute, and sends them elsewhere.
class redirector {
public:
    /// `what` has left the pipeline, was not executed, and keeps its deadline. `why` is `redirected`, `read_only`,
    /// `master_down` with the server's words in `text`, or `not_connected`.
    virtual void on_redirect(operation& what, errc why, std::string_view text) = 0;

protected:
    ~redirector() = default;
};

/// The protocol of one connection without socket and clock: pairs commands with replies, keeps deadlines, swallows the
/// replies of those given up, loads scripts that are gone. What happens outside is told to it, and it says what to
/// write and which operations are completed.
///
/// | the connection is | told by                 | submitted operations         | `prepare_write` gives        |
/// |-------------------|-------------------------|------------------------------|------------------------------|
/// | not yet there     | the constructor         | queue until their deadline   | nothing                      |
/// | in its handshake  | `connected`             | queue until their deadline   | the handshake alone          |
/// | open              | `open`                  | queue until the next write   | everything                   |
/// | lost, once open   | `disconnected`          | queue until their deadline   | nothing                      |
/// | out of reach      | `connect_failed`        | fail at once                 | the handshake alone, if any  |
/// | closed            | `close`                 | fail at once                 | nothing                      |
///
/// An operation is `queued`, then `sent` (before its bytes are handed out: the reply may come before the write is
/// known to be done), then `done`. One that expires or is cancelled while sent leaves its slot empty: a tombstone that
/// swallows the reply, so that nobody else gets it. Thread safety: unsafe.
class pipeline {
public:
    using time_point = operation::clock::time_point;

    /// `observer` may be null.
    WEIR_DECL pipeline(pipeline_limits const& limits, client_observer* observer);
    pipeline(pipeline const&) = delete;
    pipeline& operator=(pipeline const&) = delete;
    /// Destroys the operations that are left, without completing them.
    WEIR_DECL ~pipeline();

    /// From now on, what this server would not execute goes to `to`. Before anything is submitted.
    void redirect_to(redirector& to) noexcept { redirector_ = &to; }

    /// Takes an operation, which has its deadline already, or completes it with the reason why not.
    WEIR_DECL void submit(operation& what, time_point now);
    /// As `submit`, but it is not written before `until`.
    WEIR_DECL void submit_later(operation& what, time_point now, time_point until);
    /// Completes `what`, an operation of an empty command, once the connection is open or known to be out of reach; at
    /// once where either is so already.
    WEIR_DECL void wait_open(operation& what, time_point now);
    /// Takes a step of the handshake, which goes out before `open`.
    WEIR_DECL void submit_handshake(operation& what, time_point now);
    /// Completes an operation that was not submitted.
    WEIR_DECL void refuse(operation& what, error_code why);
    /// Takes all out that wait to be written: `submit` each somewhere.
    WEIR_DECL void take_queued(operation_list& to);
    /// Gives an operation up; does nothing to one that is completed.
    WEIR_DECL void cancel(operation& what);

    /// A new connection is there, its handshake comes first.
    WEIR_DECL void connected();
    /// The handshake is complete.
    WEIR_DECL void open();
    /// The connection is lost. Operations of which nothing was handed to the system stay queued; idempotent ones go
    /// back to the queue as far as their deadline and the retry budget (one in five of the operations submitted)
    /// allow; the others complete with `errc::connection_lost`.
    WEIR_DECL void disconnected(time_point now);
    /// No connection is to be had: those who wait for it learn `why`; everything queued, and all that is submitted
    /// until `open`, completes with `errc::not_connected`, or with `why` where that is a matter of credentials.
    WEIR_DECL void connect_failed(errc why);
    /// As `connect_failed` for a server that is known to be out of reach although no attempt has failed yet.
    WEIR_DECL void out_of_reach(errc why);
    /// For good: what is queued completes with `errc::client_closed`, what is sent with `errc::connection_lost`.
    WEIR_DECL void close();

    /// The bytes to write next: empty where there are none. The same bytes again until `written` took them.
    WEIR_DECL std::string_view prepare_write();
    /// `size` bytes of `prepare_write` are handed to the system.
    WEIR_DECL void written(std::size_t size);
    /// Bytes that came. After an error drop the connection; `error_text` says what was wrong with them, in the
    /// server's words where it spoke.
    WEIR_DECL error_code feed(std::string_view bytes, time_point now);
    std::string const& error_text() const noexcept { return error_text_; }

    /// Sends a PING with the next write, whose reply is ignored: a sign of life.
    void ping() noexcept { ping_due_ = true; }
    /// Whether a reply is owed by the server.
    bool outstanding() const noexcept { return !slots_.empty(); }

    /// When `expire` is due next.
    std::optional<time_point> next_deadline() const noexcept {
        return deadlines_.empty() ? std::nullopt : std::optional{deadlines_.next()};
    }
    /// Completes what has passed its deadline and queues again what has waited long enough after a refusal.
    WEIR_DECL void expire(time_point now);

    bool has_completed() const noexcept { return !completed_.empty(); }
    /// The operations completed since the last call, in that order; call `complete` on each, after taking it off.
    WEIR_DECL void take_completed(operation_list& to);

    client_statistics& stats() noexcept { return stats_; }
    client_statistics const& stats() const noexcept { return stats_; }

private:
    // What the next reply is for.
    struct slot {
        enum class kind : std::uint8_t { operation, tombstone, ping, script_load };
        slot::kind what;
        redis::operation* who;
        script const* code;
    };
    // What is known of a script that the server has missed.
    struct script_state {
        script const* code;
        // The number of its last SCRIPT LOAD, 0: none.
        std::uint64_t last_load;
        // Waits to be written.
        bool load_due;
        // Why the last SCRIPT LOAD was refused.
        std::optional<errc> load_error;
    };

    WEIR_DECL void enqueue(operation& what, operation_list& to) noexcept;
    WEIR_DECL void leave_queue(operation& what) noexcept;
    WEIR_DECL void finish(operation& what, error_code result, std::string_view server_text = {});
    WEIR_DECL void hand_over(operation& what, errc why, std::string_view text = {});
    WEIR_DECL void give_up(operation& what, errc unsent, errc sent);
    WEIR_DECL void finish_all(operation_list& of, errc unsent);
    WEIR_DECL void abandon_slots(bool may_resend, time_point now);
    WEIR_DECL bool may_resend(operation const& what, time_point now) noexcept;

    WEIR_DECL void push_slot(slot what);
    WEIR_DECL void write_upkeep();
    WEIR_DECL void write_operations(operation_list& from);
    bool has_room() const noexcept {
        return buffer_.size() < limits_.max_batch_bytes && slots_.size() < limits_.max_queued_operations;
    }

    WEIR_DECL void answered(parser::event what, time_point now);
    WEIR_DECL void refused(operation& what, time_point now);
    WEIR_DECL bool sent_elsewhere(operation& what, errc code, time_point now);
    WEIR_DECL bool heal(operation& what, errc& code);
    WEIR_DECL bool retry_later(operation& what, errc code, time_point now);
    WEIR_DECL void delay(operation& what, time_point until);
    WEIR_DECL script_state& state_of(script const& code);

    pipeline_limits limits_;
    client_observer* observer_;
    redirector* redirector_ = nullptr;
    client_statistics stats_;

    operation_list waiters_;
    operation_list handshake_;
    operation_list retry_;
    operation_list queue_;
    operation_list delayed_;
    operation_list completed_;
    deadline_heap deadlines_;

    // The number of the connection: of all that the process ever made.
    std::uint64_t connection_ = 0;
    boost::circular_buffer<slot> slots_;
    std::uint64_t first_slot_ = 0;
    std::optional<parser> parser_;
    std::string error_text_;

    std::string buffer_;
    std::size_t buffer_offset_ = 0;
    // Counted over the life of the connection.
    std::uint64_t wire_prepared_ = 0;
    std::uint64_t wire_written_ = 0;

    std::vector<script_state> scripts_;
    std::uint64_t loads_written_ = 0;
    // In fifths of a resend.
    unsigned retry_budget_ = 50;

    bool connected_ = false;
    bool open_ = false;
    bool ping_due_ = false;
    // Where set, nothing is queued.
    error_code refuse_with_;
    error_code connect_error_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/pipeline.ipp>
#endif
