#pragma once

#include <weir/redis/alarm.hpp>
#include <weir/redis/client_options.hpp>
#include <weir/redis/pipeline.hpp>

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <memory>
#include <optional>

namespace weir::redis::detail {

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

/// What stands behind a client: one connection, or many. Here is what they share: a pipeline, its deadlines, and the
/// turn of the loop in which its operations are completed. Owned by shared pointers, of which whatever is under way
/// holds one.
class backend : public std::enable_shared_from_this<backend> {
public:
    WEIR_DECL backend(asio::io_context& context, client_options options);
    backend(backend const&) = delete;
    backend& operator=(backend const&) = delete;
    WEIR_DECL virtual ~backend();

    virtual void start() = 0;
    /// Writes what has been submitted, as far as there is room, and does not wait for the end of the turn.
    virtual void flush() = 0;
    /// For good.
    WEIR_DECL void close();

    /// `timeout` 0: the client's default.
    WEIR_DECL void submit(operation& what, std::chrono::nanoseconds timeout);
    WEIR_DECL void wait_open(operation& what);
    WEIR_DECL virtual void cancel(operation& what);
    /// The one function here that any thread may call.
    WEIR_DECL void submit_from_any_thread(foreign_operation& what);

    virtual bool is_open() const noexcept = 0;
    /// See `client::address_source`.
    virtual std::optional<address> present_address() const = 0;
    /// See `client::key_servers`.
    WEIR_DECL virtual std::vector<key_server> key_servers() const;
    errc last_error() const noexcept { return last_error_; }
    std::string const& last_error_text() const noexcept { return last_error_text_; }
    virtual client_statistics stats() const = 0;
    asio::io_context& context() noexcept { return context_; }
    client_options const& options() const noexcept { return options_; }

protected:
    using clock = boot_clock;

    /// Takes an operation that has its deadline.
    virtual void route(operation& what, clock::time_point now) = 0;
    /// Ends connections and timers; called once.
    virtual void shut() = 0;
    bool closed() const noexcept { return closed_; }
    /// What is to be done when a turn has completed what was to be completed.
    virtual void end_turn() {}

    /// At most one turn is under way or posted: everything that happens until it runs is written and completed
    /// together.
    WEIR_DECL void schedule();
    WEIR_DECL void turn();
    WEIR_DECL void arm_deadline();

    asio::io_context& context_;
    client_options options_;
    pipeline pipeline_;
    errc last_error_{};
    std::string last_error_text_;

private:
    WEIR_DECL void admit_foreign();

    alarm deadline_alarm_;
    operation_list completing_;
    std::atomic<foreign_operation*> inbox_{nullptr};
    clock::time_point armed_for_{};
    bool armed_ = false;
    bool turn_scheduled_ = false;
    bool in_turn_ = false;
    bool closed_ = false;
};

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/backend.ipp>
#endif
