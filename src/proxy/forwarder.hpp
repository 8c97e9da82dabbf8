#pragma once

#include "proxy/client_stream.hpp"
#include "proxy/exchange.hpp"
#include "proxy/head_writer.hpp"
#include "proxy/services.hpp"

namespace weir::proxy {

/// How forwarding one request ended.
struct forward_outcome {
    enum class result {
        /// The whole answer was written.
        done,
        /// Nothing was written; answer with `status` and `reason`.
        refuse,
        /// The answer broke off: the client must not see a clean end.
        cut,
        /// The client has left.
        gone,
        /// A pooled connection turned out to be closed: once more on a fresh one. Never leaves the forwarder.
        stale,
        /// The answer is one of those that are not passed on: once more. Never leaves the forwarder.
        again,
    };

    result what = result::done;
    unsigned status = 0;
    std::string_view reason;
    /// For weir_upstream_errors_total; none when the upstream is not to blame.
    std::optional<metrics::upstream_error> kind;
    /// It failed for want of something on this side: a port, a descriptor.
    bool own_side = false;
    /// The circuit that refused it, if one did; of those of all targets, that which is to be tried first.
    guard* refused_by = nullptr;

    /// The upstream gave no answer, or was not even asked.
    bool unanswered() const noexcept { return what == result::refuse && (kind || refused_by); }
};

inline constexpr std::string_view client_closed_text = "the client closed the connection";

/// The lock under which the request was sent is perhaps another's already.
inline constexpr forward_outcome lost_lock{forward_outcome::result::refuse,
                                           503,
                                           "the lock was lost while the request was served: what it did is not known",
                                           {},
                                           false,
                                           nullptr};

/// Whether a request may be sent twice (RFC 9110 9.2.2).
constexpr bool is_idempotent(boost::beast::http::verb method) noexcept {
    using boost::beast::http::verb;
    return method == verb::get || method == verb::head || method == verb::put || method == verb::delete_ ||
           method == verb::options;
}

/// Sends one admitted request to its upstream and the answer to the client, streaming both bodies.
///
/// A body that is in the buffer, or small, is collected first: then the request leaves in one write and can be sent
/// again. Any other streams up while the answer is watched for, so that an early answer reaches the client.
///
/// Lives for one request; belongs to its worker's thread.
class forwarder {
public:
    /// `key` makes the choice of `balance::consistent_hash`.
    forwarder(services& all, client_stream& client, exchange& x, client_info from, std::uint64_t key) noexcept
        : services_(all)
        , client_(client)
        , x_(x)
        , from_(from)
        , key_(key) {}
    forwarder(forwarder const&) = delete;
    forwarder& operator=(forwarder const&) = delete;

    /// Reads all of the request's body, which is refused where it is longer than a block. Before run().
    awaitable<forward_outcome> collect_all();
    /// After collect_all().
    std::string_view body() const noexcept { return body_; }

    /// Sends the request to that upstream. May be called again, for another one, as long as repeatable().
    awaitable<forward_outcome> run(upstream& to);

    /// The request can be sent once more: it is at hand, and either was not sent or may be sent twice.
    bool repeatable() const noexcept { return !streaming_ && (!x_.sent || is_idempotent(x_.request.verb)); }

    /// It has begun with the request: what follows holds.
    bool begun() const noexcept { return body_begun_; }

    /// The request was read to its end, so that another one may follow on the connection.
    bool request_read() const noexcept { return request_body_.finished(); }

    /// What was read from the client past the end of the request, beside its buffer.
    std::string_view surplus() const noexcept { return surplus_; }

private:
    using result = forward_outcome::result;

    /// Until the head of the answer is there.
    class alarm final : public deadline_wheel::entry {
    public:
        explicit alarm(forwarder& of) noexcept
            : of_(of) {}

    private:
        void on_deadline() override { of_.on_alarm(); }
        forwarder& of_;
    };

    // The request on its way up.
    bool take_body_at_hand();
    awaitable<forward_outcome> collect_more();
    awaitable<forward_outcome> collect_length();
    forward_outcome collect_chunks(std::size_t at_hand);
    void begin_attempts(boot_clock::time_point now);
    forward_outcome choose_target();
    bool take_connection(bool fresh, forward_outcome& refused);
    awaitable<forward_outcome> connect();
    bool send_at_once();
    awaitable<void> send_rest();
    void note_sent(error_code ec) noexcept;
    awaitable<forward_outcome> stream_and_receive();
    awaitable<void> upload();
    awaitable<bool> read_piece(std::string_view& data);
    transfer try_write_up(gather_list& out, error_code& ec);
    awaitable<error_code> write_up(gather_list& out);
    void break_off(forward_outcome why);

    // The answer on its way down.
    awaitable<forward_outcome> download();
    awaitable<forward_outcome> download_and_stop_upload();
    enum class head_state { partial, interim, complete, refused };
    head_state take_response_head(forward_outcome& why);
    awaitable<error_code> pass_interim();
    forward_outcome judge_answer();
    bool take_whole_answer(gather_list& out);
    awaitable<forward_outcome> relay_body();
    awaitable<forward_outcome> relay_switch();
    forward_outcome end_relay(bool whole);
    transfer try_read_down(error_code& ec, std::chrono::nanoseconds timeout);
    awaitable<error_code> read_down(std::chrono::nanoseconds timeout);
    awaitable<error_code> write_down(gather_list& out);
    awaitable<forward_outcome> cut_short();
    forward_outcome explain_silence() const;
    outgoing_body choose_framing() const noexcept;
    void begin_reply(outgoing_body body);
    void settle_upstream();
    void begin_copy(response_copy& copy);
    awaitable<void> finish_holds();

    // What the circuit is told.
    void judge_head();
    circuit::outcome verdict_on(forward_outcome const& how) const noexcept;
    void finish_attempt(forward_outcome const& how);
    void judge(forward_outcome const& how);

    // For how long.
    void set_alarm();
    void on_alarm();

    // Whether there is another attempt.
    bool prepare_another(forward_outcome const& after);
    bool choose_another(forward_outcome const& after);
    bool may_repeat();
    bool wants_another(unsigned status);

    config::upstream const& settings() const noexcept { return to_->settings(); }
    upstream_pool& pool() const noexcept { return to_->pool; }

    services& services_;
    client_stream& client_;
    exchange& x_;
    client_info from_;
    std::uint64_t key_;
    upstream* to_ = nullptr;

    // Of the attempts at one upstream.
    unsigned attempts_ = 1;
    std::size_t target_ = balancer::none;
    target_set tried_ = 0;
    boot_clock::time_point run_began_;
    boot_clock::time_point attempt_began_;
    bool body_begun_ = false;
    alarm alarm_{*this};
    bool alarm_is_total_ = false;
    bool collected_ = false;

    body_reader request_body_;
    /// What of the request body is at hand, framing taken off.
    std::string_view body_;
    std::string_view surplus_;
    outgoing_body up_;
    std::array<char, 24> up_chunk_;
    /// Why the attempt was broken off by ourselves, in its middle.
    forward_outcome broken_off_;
    bool streaming_ = false;
    bool uploading_ = false;
    bool upload_broken_ = false;
    bool stop_upload_ = false;

    body_reader response_body_;
    outgoing_body down_;
    std::array<char, 24> down_chunk_;
    std::size_t down_begin_ = 0;
    std::size_t down_end_ = 0;
    /// Of the request, when it went as far as it could at once.
    std::size_t unsent_ = 0;
    bool head_received_ = false;
    bool event_stream_ = false;
    bool nothing_sent_ = false;
    /// The client has left, and the answer is taken down for whoever asks again.
    bool alone_ = false;
};

} // namespace weir::proxy
