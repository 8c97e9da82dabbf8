#pragma once

#include <weir/redis/alarm.hpp>
#include <weir/redis/backend.hpp>
#include <weir/redis/connecting.hpp>
#include <weir/redis/transport.hpp>

#include <array>

namespace weir::redis {
namespace detail {

class handshake_step;

class connection;

/// The owner of several connections, told of what becomes of them.
class connection_owner {
public:
    virtual void on_open(connection& which) = 0;
    /// An attempt to connect failed, or the server has fallen silent; `which.last_error()` says why.
    virtual void on_failed(connection& which) = 0;
    /// See `redirector`.
    virtual void on_redirect(connection& from, operation& what, errc why, std::string_view text) = 0;

protected:
    ~connection_owner() = default;
};

/// The shell around `pipeline` that knows Asio: one connection to one server, made again whenever it is lost. Owned by
/// shared pointers, of which whatever is under way holds one.
///
/// | state      | leaves it                                                                        |
/// |------------|----------------------------------------------------------------------------------|
/// | waiting    | the pause is over -> connecting                                                  |
/// | connecting | connected -> handshake; refused, timed out -> waiting                            |
/// | handshake  | all steps answered -> open; refused, lost, timed out -> waiting                  |
/// | open       | lost, garbled, silent -> waiting, or connecting at once where it had lived a while; |
/// |            | after silence the server counts as out of reach until the next handshake         |
/// | closed     | never                                                                            |
class connection final : public backend, private redirector {
public:
    /// `owner` may be null; must be told by `disown` before it goes.
    WEIR_DECL connection(asio::io_context& context, client_options options, connection_owner* owner = nullptr);

    WEIR_DECL void start() override;
    WEIR_DECL void flush() override;
    void disown() noexcept { owner_ = nullptr; }

    WEIR_DECL void route(operation& what, clock::time_point now) override;
    WEIR_DECL void route_later(operation& what, clock::time_point now, clock::time_point until);
    /// Somebody wants it: it is connected sooner than the pauses between attempts have grown to.
    WEIR_DECL void hurry(clock::time_point now);
    /// Takes out all that waits to be written.
    void take_queued(operation_list& to) { pipeline_.take_queued(to); }

    bool is_open() const noexcept override { return state_ == state::open; }
    std::optional<address> present_address() const override { return options_.server; }
    client_statistics stats() const override { return pipeline_.stats(); }

private:
    friend class handshake_step;
    enum class state { waiting, connecting, handshake, open, closed };

    std::shared_ptr<connection> self() { return std::static_pointer_cast<connection>(shared_from_this()); }
    WEIR_DECL void on_redirect(operation& what, errc why, std::string_view text) override;

    WEIR_DECL void shut() override;
    WEIR_DECL void connect();
    WEIR_DECL void on_transport(error_code ec, std::string text);
    WEIR_DECL void on_step(handshake_step const& step);
    WEIR_DECL void opened();
    WEIR_DECL void attempt_failed(errc why, std::string text);
    WEIR_DECL void lost(errc why, std::string const& text, bool out_of_reach = false);
    WEIR_DECL void reconnect_after(std::chrono::milliseconds pause, clock::time_point now);

    WEIR_DECL void read();
    WEIR_DECL void on_read(error_code ec, std::size_t size);
    void end_turn() override { flush(); }
    WEIR_DECL void on_tick(clock::time_point now);
    WEIR_DECL void check_health(clock::time_point now);

    WEIR_DECL void set_tick(clock::time_point when);

    connection_owner* owner_;
    transport transport_;
    // The end of a pause, of an attempt, of a health interval: whatever the state waits for.
    alarm tick_;
    std::array<char, 65536> read_buffer_;
    reconnect_pause pause_;
    clock::time_point reconnect_at_{};

    state state_ = state::waiting;
    // Handlers of an earlier attempt know by it that they are late.
    std::uint64_t attempt_ = 0;
    std::size_t steps_left_ = 0;
    clock::time_point opened_at_{};
    // When bytes last came, or when a reply was first owed after none had been.
    clock::time_point last_progress_{};
    bool write_blocked_ = false;
};

} // namespace detail
} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/connection.ipp>
#endif
