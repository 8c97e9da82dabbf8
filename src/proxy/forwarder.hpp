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
    };

    result what = result::done;
    unsigned status = 0;
    std::string_view reason;
    /// For weir_upstream_errors_total; none when the upstream is not to blame.
    std::optional<metrics::upstream_error> kind;
    /// It failed for want of something on this side: a port, a descriptor.
    bool own_side = false;
};

inline constexpr std::string_view client_closed_text = "the client closed the connection";

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
    forwarder(services& all, client_stream& client, exchange& x, client_info from) noexcept
        : services_(all)
        , client_(client)
        , x_(x)
        , from_(from) {}
    forwarder(forwarder const&) = delete;
    forwarder& operator=(forwarder const&) = delete;

    awaitable<forward_outcome> run();

    /// The request was read to its end, so that another one may follow on the connection.
    bool request_read() const noexcept { return request_body_.finished(); }

    /// What was read from the client past the end of the request, beside its buffer.
    std::string_view surplus() const noexcept { return surplus_; }

private:
    using result = forward_outcome::result;

    // The request on its way up.
    awaitable<forward_outcome> collect_body();
    awaitable<forward_outcome> collect_length(std::string_view at_hand);
    forward_outcome collect_chunks(std::size_t at_hand);
    awaitable<forward_outcome> open(bool fresh);
    awaitable<forward_outcome> send_and_receive();
    awaitable<forward_outcome> stream_and_receive();
    awaitable<void> upload();
    awaitable<bool> read_piece(std::string_view& data);
    awaitable<error_code> write_up(gather_list& out);
    void fail_upload(forward_outcome why);

    // The answer on its way down.
    awaitable<forward_outcome> download();
    awaitable<forward_outcome> download_and_stop_upload();
    awaitable<forward_outcome> read_response_head();
    awaitable<forward_outcome> relay_body();
    awaitable<error_code> read_down(std::chrono::nanoseconds timeout);
    awaitable<error_code> write_down(gather_list& out);
    awaitable<forward_outcome> cut_short();
    forward_outcome explain_silence() const;
    outgoing_body choose_framing() const noexcept;
    void begin_reply(outgoing_body body);
    void settle_upstream();

    // What the circuit is told.
    void judge_head();
    void judge(forward_outcome const& how);

    config::upstream const& settings() const noexcept { return pool().settings(); }
    upstream_pool& pool() const noexcept {
        return services_.upstreams[services_.config.routes[x_.route].upstream]->pool;
    }

    services& services_;
    client_stream& client_;
    exchange& x_;
    client_info from_;

    body_reader request_body_;
    /// What of the request body is at hand, framing taken off.
    std::string_view body_;
    std::string_view surplus_;
    outgoing_body up_;
    std::array<char, 24> up_chunk_;
    forward_outcome upload_failure_;
    bool streaming_ = false;
    bool uploading_ = false;
    bool upload_broken_ = false;
    bool stop_upload_ = false;

    body_reader response_body_;
    outgoing_body down_;
    std::array<char, 24> down_chunk_;
    std::size_t down_begin_ = 0;
    std::size_t down_end_ = 0;
    std::size_t burst_ = 0;
    bool head_received_ = false;
    bool nothing_sent_ = false;
};

} // namespace weir::proxy
