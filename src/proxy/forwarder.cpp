#include "proxy/forwarder.hpp"

#include "proxy/collect_body.hpp"
#include "proxy/framing.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>

// The request on its way up. The answer: forwarder_response.cpp.
namespace weir::proxy {
namespace {

using http::body_framing;

constexpr forward_outcome client_left{forward_outcome::result::gone, client_closed, client_closed_text, {}};
constexpr forward_outcome body_too_large{forward_outcome::result::refuse, 413, "the body is over the limit", {}};
constexpr forward_outcome body_too_slow{forward_outcome::result::refuse, 408, "the body came too slowly", {}};

forward_outcome connect_outcome(connect_failure why) noexcept {
    if (why == connect_failure::timed_out)
        return {forward_outcome::result::refuse, 504, "the upstream took too long to accept a connection",
                metrics::upstream_error::connect_timeout};
    if (why == connect_failure::tls)
        return {forward_outcome::result::refuse, 502, "TLS with the upstream failed", metrics::upstream_error::tls};
    if (why == connect_failure::unresolved)
        return {forward_outcome::result::refuse, 502, "the name of the upstream cannot be resolved",
                metrics::upstream_error::resolve};
    return {forward_outcome::result::refuse,  502,
            "the upstream cannot be reached", metrics::upstream_error::connect,
            why == connect_failure::own_side, nullptr};
}

} // namespace

awaitable<forward_outcome> forwarder::run(upstream& to) {
    to_ = &to;
    bool const first = !collected_;
    if (first) {
        if (!body_begun_ && !take_body_at_hand())
            if (auto const early = co_await collect_more(); early.what != result::done)
                co_return early;
        write_request_head(x_.upstream_head, x_.request, x_.target.path, x_.target.query, x_.target.has_query, from_,
                           up_, x_.request_id, services_.ids);
        collected_ = true;
        x_.forwarded = boot_clock::now();
    }
    begin_attempts(first ? x_.forwarded : boot_clock::now());
    for (bool fresh = streaming_;;) {
        forward_outcome outcome;
        if (!take_connection(fresh, outcome))
            outcome = co_await connect();
        if (x_.lock_lost())
            outcome = lost_lock;
        if (outcome.what == result::done && streaming_) {
            outcome = co_await stream_and_receive();
        } else if (outcome.what == result::done) {
            if (!send_at_once())
                co_await send_rest();
            outcome = co_await download();
        }
        client_.stop_watching();
        x_.upstream.reset();
        fresh = true;
        if (outcome.what == result::stale)
            continue;
        alarm_.never();
        finish_attempt(outcome);
        if (outcome.what == result::done || !prepare_another(outcome))
            co_return outcome;
        fresh = streaming_;
    }
}

awaitable<forward_outcome> forwarder::collect_all() {
    if (x_.request.framing == body_framing::length && x_.request.content_length > buffer_pool::block_size)
        co_return body_too_large;
    forward_outcome begun;
    if (!take_body_at_hand())
        begun = co_await collect_more();
    if (begun.what != result::done || !streaming_)
        co_return begun;
    http::refusal why;
    auto const end = co_await collect_rest(client_, x_, services_.blocks, request_body_,
                                           services_.config.http.body_timeout, body_, why);
    surplus_ = std::exchange(x_.surplus, {});
    switch (end) {
    case collect_end::complete:
        break;
    case collect_end::too_large:
        co_return body_too_large;
    case collect_end::too_slow:
        co_return body_too_slow;
    case collect_end::gone:
        co_return client_left;
    case collect_end::malformed:
        co_return forward_outcome{result::refuse, why.status, why.reason, {}};
    }
    streaming_ = false;
    up_ = {body_framing::length, body_.size()};
    co_return forward_outcome{};
}

/// Takes what the buffer holds of the body; false: that is not all of it, go on with collect_more().
bool forwarder::take_body_at_hand() {
    body_begun_ = true;
    auto const& request = x_.request;
    request_body_.start(request.framing, request.content_length);
    if (request.framing == body_framing::none)
        return true;
    if (request.framing == body_framing::chunked)
        return false;
    up_ = {body_framing::length, request.content_length};
    auto const piece = request_body_.take(client_.in.data() + x_.used, client_.in.view().size() - x_.used);
    x_.used += piece.consumed;
    x_.bytes_in += piece.consumed;
    body_ = piece.data;
    return request_body_.finished();
}

awaitable<forward_outcome> forwarder::collect_more() {
    if (x_.request.framing == body_framing::length)
        co_return co_await collect_length();
    auto const at_hand = client_.in.view().size() - x_.used;
    auto const collected = collect_chunks(at_hand);
    if (collected.what == result::done && streaming_ && at_hand == 0 && !co_await invite_body(client_, x_.request))
        co_return client_left;
    co_return collected;
}

awaitable<forward_outcome> forwarder::collect_length() {
    if (body_.empty() && !co_await invite_body(client_, x_.request))
        co_return client_left;
    streaming_ = x_.request.content_length > buffer_pool::block_size;
    if (streaming_)
        co_return forward_outcome{};

    http::refusal unused; // a length cannot be malformed
    auto const end = co_await collect_rest(client_, x_, services_.blocks, request_body_,
                                           services_.config.http.body_timeout, body_, unused);
    if (end == collect_end::complete)
        co_return forward_outcome{};
    co_return end == collect_end::too_slow ? body_too_slow : client_left;
}

forward_outcome forwarder::collect_chunks(std::size_t at_hand) {
    auto const piece = request_body_.take(client_.in.data() + x_.used, at_hand);
    x_.used += piece.consumed;
    x_.bytes_in += piece.data.size();
    body_ = piece.data;
    if (piece.why.status != 0)
        return {result::refuse, piece.why.status, piece.why.reason, {}};
    if (x_.bytes_in > services_.config.http.max_body)
        return body_too_large;
    streaming_ = !request_body_.finished();
    up_ = streaming_ ? outgoing_body{body_framing::chunked, 0} : outgoing_body{body_framing::length, body_.size()};
    return {};
}

/// Chooses the target and takes a connection that is kept for it; false: there is none, go on with connect().
bool forwarder::take_connection(bool fresh, forward_outcome& refused) {
    if (target_ == balancer::none)
        refused = choose_target();
    if (refused.what != result::done)
        return true;
    if (!fresh)
        x_.upstream = pool().take_idle(target_);
    return x_.upstream != nullptr;
}

awaitable<forward_outcome> forwarder::connect() {
    auto const why = co_await pool().connect(target_, x_.upstream);
    if (why == connect_failure::cancelled && broken_off_.what != result::done)
        co_return broken_off_;
    if (why == connect_failure::cancelled)
        co_return client_left;
    if (why == connect_failure::tls)
        x_.detail = "TLS with the upstream failed: " + pool().tls_failure();
    if (why != connect_failure::none)
        co_return connect_outcome(why);
    co_return forward_outcome{};
}

/// Sends the request as far as it goes at once; false: that is not all of it, go on with send_rest().
bool forwarder::send_at_once() {
    if (!x_.once || !x_.once->goes_on_alone())
        client_.watch(x_.upstream->socket);
    gather_list out;
    out.add(x_.upstream_head);
    out.add(body_);
    error_code ec;
    auto const what = try_write_up(out, ec);
    unsent_ = out.size();
    if (what != transfer::done)
        return false;
    note_sent(ec);
    return true;
}

awaitable<void> forwarder::send_rest() {
    gather_list out;
    out.add(x_.upstream_head);
    out.add(body_);
    out.consume(out.size() - unsent_);
    auto const ec = co_await write_up(out);
    unsent_ = out.size();
    note_sent(ec);
}

/// An upstream that refuses a body may have answered before it closed: what it said is looked for all the same.
void forwarder::note_sent(error_code ec) noexcept {
    nothing_sent_ = ec && unsent_ == x_.upstream_head.size() + body_.size();
    x_.sent = x_.sent || !nothing_sent_;
    upload_broken_ = ec.failed();
}

awaitable<forward_outcome> forwarder::stream_and_receive() {
    using namespace asio::experimental::awaitable_operators;
    uploading_ = true;
    x_.sent = true;
    auto const outcome = co_await (upload() && download_and_stop_upload());
    co_return outcome;
}

awaitable<void> forwarder::upload() {
    gather_list out;
    out.add(x_.upstream_head);
    auto data = body_;
    for (;;) {
        add_framed(out, up_, data, request_body_.finished(), up_chunk_);
        if (co_await write_up(out)) {
            upload_broken_ = true;
            break;
        }
        if (request_body_.finished() || stop_upload_)
            break;
        out.clear();
        if (!co_await read_piece(data))
            break;
    }
    uploading_ = false;
    if (stop_upload_ || broken_off_.what != result::done)
        co_return;
    client_.unlimited();
    if (!head_received_)
        services_.wheel.expires_after(*x_.upstream, settings().first_byte_timeout);
    if (request_body_.finished())
        client_.watch(x_.upstream->socket);
}

awaitable<bool> forwarder::read_piece(std::string_view& data) {
    client_.limit(services_.config.http.body_timeout);
    std::size_t n = 0;
    auto const wanted = request_body_.wanted(buffer_pool::piece_size);
    error_code ec;
    while (!ec) {
        if (!x_.up)
            x_.up = services_.blocks.take();
        auto const what = client_.try_read_some({x_.up.data(), wanted}, n, ec);
        if (what == transfer::done)
            break;
        x_.up.release(); // a client may be slow: who waits for it needs no room
        std::tie(ec) = co_await client_.socket().async_wait(wait_of(what), in_place);
    }
    if (stop_upload_)
        co_return false;
    if (ec) {
        break_off(client_.expired() ? body_too_slow : client_left);
        co_return false;
    }
    auto const piece = request_body_.take(x_.up.data(), n);
    x_.bytes_in += piece.data.size();
    if (piece.why.status != 0) {
        break_off({result::refuse, piece.why.status, piece.why.reason, {}});
        co_return false;
    }
    if (x_.bytes_in > services_.config.http.max_body) {
        break_off(body_too_large);
        co_return false;
    }
    data = piece.data;
    surplus_ = {x_.up.data() + piece.consumed, n - piece.consumed};
    co_return true;
}

void forwarder::break_off(forward_outcome why) {
    broken_off_ = why;
    if (x_.upstream)
        x_.upstream->socket.cancel();
}

transfer forwarder::try_write_up(gather_list& out, error_code& ec) {
    std::size_t n = 0;
    return try_write(x_.upstream->socket, x_.upstream->tls.get(), out, n, ec);
}

awaitable<error_code> forwarder::write_up(gather_list& out) {
    for (;;) {
        error_code ec;
        auto const what = try_write_up(out, ec);
        if (what == transfer::done)
            co_return ec;
        services_.wheel.expires_after(*x_.upstream, settings().idle_timeout);
        auto const [failed] = co_await x_.upstream->socket.async_wait(wait_of(what), in_place);
        if (failed)
            co_return failed;
    }
}

} // namespace weir::proxy
