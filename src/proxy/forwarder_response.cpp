#include "proxy/forwarder.hpp"
#include "proxy/framing.hpp"
#include "proxy/tunnel.hpp"
#include "proxy/upgrade.hpp"

#include <weir/http/detail/media_type.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstring>

// The answer on its way down. The request: forwarder.cpp.
namespace weir::proxy {
namespace {

using http::body_framing;
using beast_field = boost::beast::http::field;

/// Each renews the time to wait for the final answer.
constexpr unsigned max_interim = 100;

constexpr forward_outcome bad_answer(std::string_view reason) noexcept {
    return {forward_outcome::result::refuse, 502, reason, metrics::upstream_error::bad_response};
}

} // namespace

awaitable<forward_outcome> forwarder::download_and_stop_upload() {
    auto const outcome = co_await download();
    stop_upload_ = true;
    if (uploading_) {
        client_.socket().cancel();
        x_.upstream->socket.cancel();
    }
    co_return outcome;
}

awaitable<forward_outcome> forwarder::download() {
    down_begin_ = down_end_ = 0;
    x_.response.reset();
    forward_outcome early;
    for (unsigned interim = 0;;) {
        auto const state = take_response_head(early);
        if (state == head_state::complete)
            break;
        if (state == head_state::refused)
            co_return early;
        if (state == head_state::interim && ++interim > max_interim)
            co_return bad_answer("the upstream sent interim answers without end");
        if (state == head_state::interim) {
            if (co_await pass_interim())
                co_return forward_outcome{result::gone, client_closed, client_closed_text, {}};
            continue;
        }
        error_code ec;
        auto const what = try_read_down(ec, settings().first_byte_timeout);
        if (what != transfer::done)
            std::tie(ec) = co_await x_.upstream->socket.async_wait(wait_of(what), in_place);
        if (ec)
            co_return explain_silence();
    }
    early = judge_answer();
    if (early.what != result::done)
        co_return early;
    if (x_.response.status == 101)
        co_return co_await relay_switch();
    gather_list out;
    if (!take_whole_answer(out))
        co_return co_await relay_body();
    x_.answered = true;
    error_code ec;
    if (!client_.write_now(out, ec))
        ec = co_await write_down(out);
    alone_ = ec.failed();
    early = end_relay(true);
    co_return early;
}

/// Parses what there is of a head.
forwarder::head_state forwarder::take_response_head(forward_outcome& why) {
    if (down_end_ == down_begin_) {
        down_begin_ = down_end_ = 0;
        return head_state::partial;
    }
    auto limits = services_.head_limits();
    limits.max_head = std::min(limits.max_head, buffer_pool::block_size - 1);
    auto const parsed = http::parse_response_head({x_.down.data() + down_begin_, down_end_ - down_begin_}, limits,
                                                  x_.request.verb, x_.response);
    if (parsed.state == http::parse_state::refused) {
        why = bad_answer(parsed.why.reason);
        return head_state::refused;
    }
    if (parsed.state == http::parse_state::complete) {
        down_begin_ += parsed.consumed;
        if (x_.response.status >= 200 || (x_.response.status == 101 && is_agreed_switch(x_.response, x_.upgrade)))
            return head_state::complete;
        why = bad_answer("the upstream switched protocols unasked");
        return x_.response.status == 101 ? head_state::refused : head_state::interim;
    }
    if (down_begin_ != 0) {
        std::memmove(x_.down.data(), x_.down.data() + down_begin_, down_end_ - down_begin_);
        down_end_ -= down_begin_;
        down_begin_ = 0;
    }
    return head_state::partial;
}

awaitable<error_code> forwarder::pass_interim() {
    if (x_.response.status == 100 || x_.request.version != 11)
        co_return error_code{};
    write_interim_head(x_.reply, x_.response);
    gather_list out;
    out.add(x_.reply);
    co_return co_await write_down(out);
}

/// The head is there.
forward_outcome forwarder::judge_answer() {
    head_received_ = true;
    alarm_.never();
    if (x_.leave.held() || x_.target_leave.held())
        judge_head();
    if (wants_another(x_.response.status))
        return {result::again, x_.response.status, {}, {}};
    return {};
}

forward_outcome forwarder::explain_silence() const {
    if (x_.lock_lost())
        return lost_lock;
    if (broken_off_.what != result::done)
        return broken_off_;
    if (client_.gone())
        return {result::gone, client_closed, client_closed_text, {}};
    if (x_.upstream->expired)
        return {result::refuse, 504, "the upstream took too long to answer",
                metrics::upstream_error::first_byte_timeout};
    if (down_end_ == 0 && !streaming_ && x_.upstream->reused && (is_idempotent(x_.request.verb) || nothing_sent_))
        return {result::stale, 0, {}, {}};
    return {result::refuse, 502, "the upstream closed the connection before it answered",
            metrics::upstream_error::closed_early};
}

outgoing_body forwarder::choose_framing() const noexcept {
    auto const& response = x_.response;
    switch (response.framing) {
    case body_framing::length:
        return {body_framing::length, response.content_length};
    case body_framing::none:
        // What a HEAD or a 304 says of the body that is not sent stays true.
        if (response.has_content_length && response.status != 204)
            return {body_framing::length, response.content_length};
        return {};
    case body_framing::chunked:
    case body_framing::until_close:
        break;
    }
    return {x_.request.version == 11 ? body_framing::chunked : body_framing::until_close, 0};
}

void forwarder::begin_reply(outgoing_body body) {
    x_.keep_alive = x_.keep_alive && !services_.draining && !uploading_ && request_body_.finished() &&
                    body.framing != body_framing::until_close;
    write_response_head(x_.reply, x_.response, body,
                        {x_.request_id, services_.date, x_.limit_fields, x_.keep_alive, x_.request.version});
    x_.status = x_.response.status;
}

/// Begins the answer. Where all of it is at hand and nobody but the client waits for it, `out` holds it then.
bool forwarder::take_whole_answer(gather_list& out) {
    response_body_.start(x_.response.framing, x_.response.content_length);
    down_ = choose_framing();
    begin_reply(down_);
    out.add(x_.reply);
    bool const whole =
        x_.response.framing == body_framing::none ||
        (x_.response.framing == body_framing::length && x_.response.content_length <= down_end_ - down_begin_);
    if (!whole || !x_.usages.empty() || x_.copy() != nullptr || x_.once || x_.lock || x_.flight)
        return false;
    auto const piece = response_body_.take(x_.down.data() + down_begin_, down_end_ - down_begin_);
    down_begin_ += piece.consumed;
    x_.bytes_out += piece.data.size();
    add_framed(out, down_, piece.data, true, down_chunk_);
    return true;
}

awaitable<forward_outcome> forwarder::relay_body() {
    bool const read_here = !x_.usages.empty();
    if (read_here)
        services_.admission->begin_response(x_);
    auto* const copy = x_.copy();
    if (copy != nullptr)
        begin_copy(*copy);
    // What is read from here on takes the place of the head.
    event_stream_ = http::detail::is_event_stream(x_.response.find(beast_field::content_type));
    gather_list out;
    out.add(x_.reply);
    bool ended = response_body_.finished();
    for (;;) {
        if (x_.lock_lost() && !x_.answered)
            co_return lost_lock;
        if (x_.lock_lost())
            co_return co_await cut_short();
        auto const piece = response_body_.take(x_.down.data() + down_begin_, down_end_ - down_begin_);
        down_begin_ += piece.consumed;
        if (piece.why.status != 0 && !x_.answered)
            co_return bad_answer(piece.why.reason);
        ended = ended || response_body_.finished();
        if (read_here)
            services_.admission->take_response(x_, piece.data);
        add_framed(out, down_, piece.data, ended, down_chunk_);
        x_.bytes_out += piece.data.size();
        if (copy != nullptr)
            copy->take(piece.data);
        if (ended && (x_.once || x_.lock || x_.flight))
            co_await finish_holds();
        if (!out.empty() && !alone_) {
            x_.answered = true;
            auto const failed = co_await write_down(out);
            alone_ = failed.failed();
        }
        out.clear();
        if (alone_ && !ended && !(x_.once && x_.once->goes_on_alone()))
            break;
        if (ended)
            break;
        if (piece.why.status != 0)
            co_return co_await cut_short();
        down_begin_ = down_end_ = 0;
        if (auto const ec = co_await read_down(settings().idle_timeout)) {
            ended = ec == asio::error::eof && response_body_.until_close();
            if (!ended)
                co_return co_await cut_short();
        }
    }
    auto const end = end_relay(ended);
    co_return end;
}

forward_outcome forwarder::end_relay(bool whole) {
    if (whole)
        settle_upstream();
    if (alone_)
        return {result::gone, x_.status, client_closed_text, {}};
    return {};
}

/// The head is there of an answer that others may be given, too.
void forwarder::begin_copy(response_copy& copy) {
    copy.begin(x_.response, x_.request.verb);
    if (x_.flight)
        x_.flight->judge(x_.response);
    if (x_.once && copy.too_much() && !uploading_)
        client_.watch(x_.upstream->socket);
}

/// The upstream is done. Redis knows it before the client can, so that what he does next, anywhere, finds it so: what
/// is merely sent before may still be read after.
awaitable<void> forwarder::finish_holds() {
    if (x_.once)
        co_await services_.once->complete(x_);
    if (x_.flight)
        services_.flights->complete(x_);
    if (x_.lock)
        co_await x_.lock->give_back();
}

/// From here on the connection belongs to the other protocol.
awaitable<forward_outcome> forwarder::relay_switch() {
    client_.stop_watching();
    x_.upstream->never();
    x_.keep_alive = false;
    x_.answered = true;
    x_.status = x_.response.status;
    write_switch_head(x_.reply, x_.response,
                      {x_.request_id, services_.date, x_.limit_fields, false, x_.request.version});
    gather_list out;
    out.add(x_.reply);
    out.add({x_.down.data() + down_begin_, down_end_ - down_begin_});
    x_.switched = metrics::stream_outcome::client_gone;
    if (co_await write_down(out))
        co_return forward_outcome{result::gone, x_.status, client_closed_text, {}};
    x_.down.release();
    auto const said = client_.in.view().substr(x_.used);
    x_.used += said.size();

    tunnel way(client_, *x_.upstream, services_.wheel, services_.blocks,
               {settings().idle_timeout, services_.config.http.write_timeout});
    auto const end = co_await way.run(said);
    client_.add_written(way.bytes_down());
    x_.bytes_in += way.bytes_up();
    if (end == tunnel_end::complete && !x_.lock_lost()) {
        x_.switched = metrics::stream_outcome::complete;
        co_return forward_outcome{};
    }
    // Neither side may take what was broken off for what has ended.
    x_.upstream->socket.close_with_reset();
    if (end == tunnel_end::client_broke_off && !x_.lock_lost())
        co_return forward_outcome{result::gone, x_.status, client_closed_text, {}};
    if (end == tunnel_end::idle) {
        x_.switched = metrics::stream_outcome::idle_timeout;
        co_return forward_outcome{result::cut, x_.status, "nothing passed for too long", {}};
    }
    x_.switched = metrics::stream_outcome::cut_short;
    if (x_.lock_lost()) {
        x_.detail = lost_lock.reason;
        co_return forward_outcome{result::cut, x_.status, lost_lock.reason, {}};
    }
    co_return forward_outcome{result::cut, x_.status, "the upstream broke off the connection",
                              metrics::upstream_error::cut_short};
}

awaitable<forward_outcome> forwarder::cut_short() {
    if (client_.gone() || broken_off_.what == result::gone)
        co_return forward_outcome{result::gone, x_.status, client_closed_text, {}};
    if (event_stream_ && down_.framing != body_framing::length) {
        // Two line ends: the stream may have been cut in the middle of an event.
        gather_list out;
        add_framed(out, down_,
                   x_.lock_lost() ? "\n\nevent: error\ndata: {\"error\":\"the lock was lost\"}\n\n"
                                  : "\n\nevent: error\ndata: {\"error\":\"the upstream broke off\"}\n\n",
                   false, down_chunk_);
        co_await write_down(out);
    }
    if (x_.lock_lost()) {
        x_.detail = lost_lock.reason;
        co_return forward_outcome{result::cut, x_.status, lost_lock.reason, {}, false, nullptr};
    }
    bool const slow = x_.upstream->expired;
    co_return forward_outcome{result::cut, x_.status, "the upstream broke off its answer",
                              slow ? metrics::upstream_error::idle_timeout : metrics::upstream_error::cut_short};
}

void forwarder::settle_upstream() {
    bool const clean = x_.response.keep_alive && !response_body_.until_close() && down_begin_ == down_end_ &&
                       !uploading_ && !upload_broken_ && request_body_.finished();
    if (!clean)
        return;
    client_.stop_watching();
    x_.upstream->never();
    pool().put_back(std::move(x_.upstream));
}

transfer forwarder::try_read_down(error_code& ec, std::chrono::nanoseconds timeout) {
    auto& from = *x_.upstream;
    if (broken_off_.what != result::done || client_.gone() || from.expired || x_.lock_lost()) {
        ec = asio::error::operation_aborted;
        return transfer::done;
    }
    bool const limited = !uploading_ || head_received_;
    if (!x_.down)
        x_.down = services_.blocks.take();
    auto const room = std::min(buffer_pool::block_size - down_end_, buffer_pool::piece_size);
    std::size_t n = 0;
    auto const what = try_read(from.socket, from.tls.get(), {x_.down.data() + down_end_, room}, n, ec);
    if (what != transfer::done) {
        if (down_end_ == 0)
            x_.down.release(); // an upstream may take long: who waits needs no room, and the next finds it in the cache
        if (limited)
            services_.wheel.expires_after(from, timeout);
        return what;
    }
    if (limited)
        from.never(); // how long the client takes is no fault of the upstream
    if (n != 0 && x_.first_byte == boot_clock::time_point{})
        x_.first_byte = boot_clock::now();
    down_end_ += n;
    return what;
}

awaitable<error_code> forwarder::read_down(std::chrono::nanoseconds timeout) {
    for (;;) {
        error_code ec;
        auto const what = try_read_down(ec, timeout);
        if (what == transfer::done)
            co_return ec;
        auto const [failed] = co_await x_.upstream->socket.async_wait(wait_of(what), in_place);
        if (failed)
            co_return failed;
    }
}

awaitable<error_code> forwarder::write_down(gather_list& out) {
    error_code ec;
    if (client_.write_now(out, ec))
        co_return ec;
    ec = co_await client_.write(out);
    if (uploading_)
        client_.limit(services_.config.http.body_timeout);
    co_return ec;
}

} // namespace weir::proxy
