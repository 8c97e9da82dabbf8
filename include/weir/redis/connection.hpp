#pragma once

#include <weir/redis/pipeline.hpp>
#include <weir/redis/transport.hpp>

#include <boost/asio/basic_waitable_timer.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <random>

namespace weir::redis {

/// What a client needs to know.
struct client_options {
    address server;
    /// Sent as CLIENT SETNAME, so that CLIENT LIST tells who is who; empty: not sent.
    std::string client_name = "weir";
    /// The deadline of an operation that names none, from its submission to its reply.
    std::chrono::milliseconds timeout{50};
    /// Past these, operations fail at once with `errc::queue_full`.
    std::size_t max_queued_operations = 16384;
    std::size_t max_queued_bytes = 16u << 20;
    /// A longer reply is `errc::protocol_error` and drops the connection.
    std::size_t max_reply_bytes = 16u << 20;
    /// The pause before the next attempt is chosen at random between 0 and a bound that doubles from `reconnect_min`
    /// to `reconnect_max` ("full jitter").
    std::chrono::milliseconds reconnect_min{50}, reconnect_max{5000};
    /// Covers the look-up of the name, the connection and the handshake.
    std::chrono::milliseconds connect_timeout{1000};
    /// An idle connection is PINGed this often; one that owes replies and is silent for two intervals is dropped. So
    /// no command may keep the server silent for as long.
    std::chrono::milliseconds health_interval{1000};
    /// Loaded in the handshake. Others are loaded when the server is found not to know them.
    std::vector<script const*> scripts;
    /// May be null; must outlive the client.
    client_observer* observer = nullptr;
};

namespace detail {

class handshake_step;

/// An operation that comes from another thread than the client's.
class foreign_operation : public operation {
public:
    foreign_operation* next_in_inbox = nullptr;
    std::chrono::nanoseconds timeout{0};
    // Set on the client's thread where the cancellation overtook the submission.
    bool cancel_requested = false;

protected:
    using operation::operation;
    ~foreign_operation() = default;
};

/// The shell around `pipeline` that knows Asio: one connection to one server, made again whenever it is lost. Owned by
/// shared pointers, of which whatever is under way holds one.
///
/// | state      | leaves it                                                                        |
/// |------------|----------------------------------------------------------------------------------|
/// | waiting    | the pause is over -> connecting                                                  |
/// | connecting | connected -> handshake; refused, timed out -> waiting                            |
/// | handshake  | all steps answered -> open; refused, lost, timed out -> waiting                  |
/// | open       | lost, garbled, silent -> waiting, or connecting at once where it had lived a while |
/// | closed     | never                                                                            |
class connection : public std::enable_shared_from_this<connection> {
public:
    WEIR_DECL connection(asio::io_context& context, client_options options);
    WEIR_DECL ~connection();

    WEIR_DECL void start();
    WEIR_DECL void close();

    /// `timeout` 0: the client's default.
    WEIR_DECL void submit(operation& what, std::chrono::nanoseconds timeout);
    WEIR_DECL void wait_open(operation& what);
    WEIR_DECL void cancel(operation& what);
    /// The one function here that any thread may call.
    WEIR_DECL void submit_from_any_thread(foreign_operation& what);

    bool is_open() const noexcept { return state_ == state::open; }
    errc last_error() const noexcept { return last_error_; }
    std::string const& last_error_text() const noexcept { return last_error_text_; }
    client_statistics const& stats() const noexcept { return pipeline_.stats(); }
    asio::io_context& context() noexcept { return context_; }
    client_options const& options() const noexcept { return options_; }

private:
    friend class handshake_step;
    using clock = boot_clock;
    using timer = asio::basic_waitable_timer<clock, asio::wait_traits<clock>, asio::io_context::executor_type>;
    enum class state { waiting, connecting, handshake, open, closed };

    WEIR_DECL void connect();
    WEIR_DECL void on_transport(error_code ec, std::string text);
    WEIR_DECL void on_step(handshake_step const& step);
    WEIR_DECL void opened();
    WEIR_DECL void attempt_failed(errc why, std::string text);
    WEIR_DECL void lost(errc why, std::string const& text);
    WEIR_DECL void reconnect_after(std::chrono::milliseconds pause);
    WEIR_DECL std::chrono::milliseconds next_pause();

    WEIR_DECL void read();
    WEIR_DECL void on_read(error_code ec, std::size_t size);
    WEIR_DECL void flush();
    WEIR_DECL void on_tick();
    WEIR_DECL void check_health(clock::time_point now);

    WEIR_DECL void schedule();
    WEIR_DECL void turn();
    WEIR_DECL void admit_foreign();
    WEIR_DECL void set_tick(clock::time_point when);
    WEIR_DECL void arm_deadline();

    asio::io_context& context_;
    client_options options_;
    pipeline pipeline_;
    transport transport_;
    timer deadline_timer_;
    // The end of a pause, of an attempt, of a health interval: whatever the state waits for.
    timer tick_timer_;
    std::array<char, 65536> read_buffer_;
    operation_list completing_;
    std::atomic<foreign_operation*> inbox_{nullptr};
    std::minstd_rand random_{std::random_device{}()};

    state state_ = state::waiting;
    // Handlers of an earlier attempt know by it that they are late.
    std::uint64_t attempt_ = 0;
    std::size_t steps_left_ = 0;
    int failures_ = 0;
    errc last_error_{};
    std::string last_error_text_;
    clock::time_point opened_at_{};
    // When bytes last came, or when a reply was first owed after none had been.
    clock::time_point last_progress_{};
    clock::time_point armed_for_{};
    bool armed_ = false;
    bool write_blocked_ = false;
    bool turn_scheduled_ = false;
    bool in_turn_ = false;
};

} // namespace detail
} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/connection.ipp>
#endif
