#include "proxy/connection.hpp"

#include "proxy/head_writer.hpp"

#include <boost/asio/socket_base.hpp>

#include <weir/http/limit_answer.hpp>

namespace weir::proxy {
namespace {

/// How long a client that was refused in the middle of its request, or has sent more than is answered, may go on
/// sending before the connection is closed: closing at once would reset it, and answers might be lost (RFC 9112 9.6).
constexpr std::chrono::seconds linger_for{2};
constexpr std::size_t linger_bytes = std::size_t{1} << 20;

constexpr std::string_view every_method = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// While draining, a client that keeps a connection may use it once more within this time; then it is closed.
constexpr std::chrono::seconds drain_grace{1};

/// Nothing: the answer was none of unknown length.
std::optional<metrics::stream_outcome> stream_outcome_of(exchange const& x) noexcept {
    using metrics::stream_outcome;
    using metrics::upstream_error;
    if (x.switched)
        return x.switched;
    auto const framing = x.response.framing;
    if (!x.answered || (framing != http::body_framing::chunked && framing != http::body_framing::until_close))
        return {};
    if (x.upstream_error == upstream_error::idle_timeout)
        return stream_outcome::idle_timeout;
    if (x.upstream_error || x.lock_lost())
        return stream_outcome::cut_short;
    return x.cut_off ? stream_outcome::client_gone : stream_outcome::complete;
}

asio::ip::address unmapped(asio::ip::address const& address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    return address;
}

} // namespace

connection::connection(worker_parts& parts, int descriptor, tcp::endpoint const& peer)
    : services_(parts.now)
    , client_(parts.sockets, descriptor, parts.wheel, services_->config.http.write_timeout)
    , peer_text_(unmapped(peer.address()).to_string())
    , parts_(parts)
    , peer_(unmapped(peer.address())) {}

awaitable<void> connection::run() {
    client_.set_owner(weak_from_this());
    if (client_.is_secure()) {
        client_.limit(services_->config.http.head_timeout);
        if (co_await client_.shake_hands())
            co_return;
        client_.unlimited();
    }
    while (co_await read_head()) {
        auto& x = *exchange_;
        choose_request_id(x.request, services_->ids, x.request_id);
        x.keep_alive = x.request.keep_alive && !services_->draining;
        find_client();
        bool const again = co_await serve();
        end_exchange();
        if (!again)
            break;
    }
    if (exchange_)
        end_exchange();
    if (!cut_)
        client_.say_goodbye();
    if (unread_ || client_.has_more())
        co_await linger();
}

void connection::drain() {
    if (idle_)
        client_.limit(drain_grace);
}

void connection::abort() noexcept {
    client_.set_gone();
    client_.socket().close();
    if (exchange_ && exchange_->upstream)
        exchange_->upstream->socket.close();
}

void connection::begin_exchange() {
    if (services_ != parts_.now) { // under another configuration another peer may be trusted
        services_ = parts_.now;
        client_known_ = false;
    }
    exchange_ = parts_.take_exchange();
    exchange_->started = boot_clock::now();
    exchange_->route = router::none;
    services_->counts.requests_in_flight.add(1);
    written_before_ = client_.written();
}

void connection::end_exchange() {
    auto& x = *exchange_;
    x.bytes_out = client_.written() - written_before_;
    record();
    client_.in.consume(x.used);
    client_.in.compact();
    if (!x.surplus.empty())
        client_.in.append(x.surplus);
    parts_.give_back(std::move(exchange_));
}

void connection::record() {
    auto& x = *exchange_;
    if (x.status == 0)
        x.status = client_closed;
    auto& counts = services_->counts;
    counts.requests_in_flight.add(-1);
    auto const known = x.route != router::none;
    auto& route = counts.routes[known ? x.route : counts.routes.size() - 1];
    route.requests[metrics::class_of(x.status)].increment();
    if (x.ended == boot_clock::time_point{})
        x.ended = boot_clock::now();
    route.duration.observe(x.ended - x.started);
    if (x.forwarded != boot_clock::time_point{}) {
        counts.upstreams[x.upstream_index].duration.observe(x.upstream_time);
        if (x.first_byte != boot_clock::time_point{})
            route.time_to_first_byte.observe(x.first_byte - x.started);
        if (auto const outcome = stream_outcome_of(x))
            route.streams[*outcome].increment();
    }
    if (client_address_.key.empty())
        client_address_.key = peer_text_;
    if (known && !x.detail.empty()) {
        auto const& from = services_->config.routes[x.route];
        services_->known.refusals.add({.request_id = x.request_id,
                                       .client = client_address_.key,
                                       .method = x.request.method,
                                       .path = x.target.path,
                                       .route = from.name,
                                       .detail = x.detail,
                                       .status = x.status},
                                      x.decision, std::span{x.charges}.first(from.limits.size()));
    }
    services_->log.add(x, client_address_.key,
                       known ? std::string_view{services_->config.routes[x.route].name} : std::string_view{});
}

awaitable<bool> connection::read_head() {
    bool const first = client_.received() == 0;
    for (;;) { // with each request the services may be others: nothing of them is kept while waiting
        if (!client_.in.empty()) {
            if (!exchange_) {
                begin_exchange();
                client_.limit(services_->config.http.head_timeout);
            }
            auto const parsed =
                http::parse_request_head(client_.in.view(), services_->head_limits(), exchange_->request);
            if (parsed.state == http::parse_state::complete) {
                client_.unlimited();
                exchange_->used = parsed.consumed;
                co_return true;
            }
            if (parsed.state == http::parse_state::refused) {
                unread_ = true;
                co_await refuse({parsed.why.status, parsed.why.reason}, false);
                co_return false;
            }
        } else {
            client_.limit(services_->draining ? drain_grace
                          : first             ? services_->config.http.head_timeout
                                              : services_->config.http.keep_alive);
            idle_ = true;
        }
        error_code ec;
        for (;;) {
            auto const what = client_.try_read_more(ec);
            if (what == transfer::done)
                break;
            std::tie(ec) = co_await client_.socket().async_wait(wait_of(what), in_place);
            if (ec)
                break;
        }
        idle_ = false;
        if (!ec)
            continue;
        if (client_.expired() && exchange_) {
            unread_ = true;
            co_await refuse({408, "the head came too slowly"}, false);
        }
        co_return false;
    }
}

void connection::find_client() {
    // Only what a trusted proxy forwards can differ from one request to the next.
    if (client_known_ && !client_address_.peer_trusted)
        return;
    http::find_client(peer_, exchange_->request, services_->config.trusted_proxies, client_address_);
    client_known_ = true;
}

bool connection::identify() {
    auto& x = *exchange_;
    auto const& route = services_->config.routes[x.route];
    bool const wanted =
        services_->who.required() || !route.limits.empty() || route.lock || route.idempotency || route.single_flight;
    return !wanted || services_->who.identify(x, client_address_);
}

awaitable<bool> connection::skip_body() {
    auto& x = *exchange_;
    if (!x.keep_alive || x.request.framing == http::body_framing::none)
        co_return x.keep_alive;
    body_reader body;
    body.start(x.request.framing, x.request.content_length);
    auto const at_hand = client_.in.view().size() - x.used;
    auto const piece = body.take(client_.in.data() + x.used, at_hand);
    x.used += piece.consumed;
    bool const worth_it = x.request.framing == http::body_framing::length && !x.request.expect_continue &&
                          x.request.content_length <= buffer_pool::block_size;
    if (!body.finished() && worth_it) {
        x.up = services_->blocks.take();
        client_.limit(services_->config.http.body_timeout);
        while (!body.finished()) {
            std::size_t n = 0;
            if (co_await client_.read_some({x.up.data(), body.wanted(buffer_pool::block_size)}, n))
                break;
            body.take(x.up.data(), n);
        }
        client_.unlimited();
    }
    unread_ = !body.finished();
    co_return body.finished();
}

answer_head connection::begin_answer(unsigned status, bool keep_alive) {
    auto& x = *exchange_;
    if (x.request_id.empty())
        services_->ids.append(x.request_id);
    x.keep_alive = keep_alive && !services_->draining;
    x.status = status;
    answer_head head;
    head.status = status;
    head.date = services_->date;
    head.request_id = x.request_id;
    head.extra = x.limit_fields;
    head.keep_alive = x.keep_alive;
    head.client_version = x.request.version;
    head.head_only = x.request.verb == boost::beast::http::verb::head;
    return head;
}

awaitable<bool> connection::send_reply() {
    gather_list out;
    out.add(exchange_->reply);
    error_code ec;
    if (!client_.write_now(out, ec))
        ec = co_await client_.write(out);
    co_return !ec && exchange_->keep_alive;
}

awaitable<bool> connection::refuse(verdict why, bool keep_alive) {
    auto& x = *exchange_;
    if (why.sent_as != 0) {
        x.limit_fields.append("X-Weir-Status: ");
        append_number(x.limit_fields, why.status);
        x.limit_fields.append("\r\n");
    }
    auto head = begin_answer(why.status, keep_alive);
    if (why.sent_as != 0)
        head.status = why.sent_as;
    if (why.status == 405)
        head.allow = why.allow.empty() ? every_method : why.allow;
    if (!why.fields.empty())
        head.extra = why.fields;
    if (x.detail.empty())
        x.detail = why.reason;
    std::array<std::string_view, max_rules_per_check> violated;
    write_refusal(
        x.reply, head,
        {why.status, x.detail, std::span{violated}.first(http::name_violated(x.decision, violated)), why.errors});
    co_return co_await send_reply();
}

awaitable<void> connection::linger() {
    client_.socket().shutdown(tcp_socket::shutdown_send);
    client_.limit(linger_for);
    for (auto const start = client_.received(); client_.received() - start < linger_bytes;) {
        client_.in.consume(client_.in.view().size());
        client_.in.compact();
        if (co_await client_.read_more())
            break;
    }
}

} // namespace weir::proxy
