#include "proxy/proxied_connection.hpp"

#include "proxy/forwarder.hpp"
#include "proxy/head_writer.hpp"

#include <boost/asio/socket_base.hpp>

#include <algorithm>

namespace weir::proxy {
namespace {

/// Whether the upstream may have got anything of the request.
bool was_sent(exchange const& x) noexcept {
    using metrics::upstream_error;
    auto const kind = x.upstream_error;
    return x.forwarded != boot_clock::time_point{} && kind != upstream_error::resolve &&
           kind != upstream_error::connect && kind != upstream_error::connect_timeout;
}

} // namespace

awaitable<bool> proxied_connection::serve() {
    auto& x = *exchange_;
    if (auto const why = check(); why.status != 0) {
        bool const known_end = why.status == 404 || why.status == 405;
        bool const keep = known_end && co_await skip_body();
        co_return co_await refuse(why, keep);
    }
    if (services_->admission && !co_await services_->admission->decide(x, client_address_, true)) {
        bool const keep = co_await skip_body();
        co_return co_await refuse({x.status}, keep);
    }
    bool const again = co_await forward();
    if (services_->admission)
        services_->admission->finish(x, was_sent(x));
    co_return again;
}

connection::verdict proxied_connection::check() {
    auto& x = *exchange_;
    http::refusal why;
    if (!http::canonicalize(x.request.target, x.target, why))
        return {why.status, why.reason};
    if (x.request.framing == http::body_framing::length && x.request.content_length > services_->config.http.max_body)
        return {413, "the body is over the limit"};
    auto const found = services_->routes.find(x.target.key, x.request.method);
    x.route = found.route;
    if (found.route != router::none)
        return {};
    if (found.path_known) {
        allow_ = services_->routes.allow(x.target.key);
        return {405, "no route takes this method here", allow_};
    }
    return {404, "no route takes this path"};
}

/// Leave to forward the request; false: it is refused, and the exchange says how.
awaitable<bool> proxied_connection::ask_circuit(guard& of) {
    auto& x = *exchange_;
    if (of.decides_at_once()) {
        x.leave.begin(of, of.breaker().try_acquire());
    } else {
        auto [ec, leave] = co_await of.breaker().async_acquire(use_result);
        x.leave.begin(of, std::move(leave));
    }
    if (x.leave.granted())
        co_return true;
    x.leave.drop();
    of.count_refusal();
    auto const wait = std::chrono::ceil<std::chrono::seconds>(of.breaker().retry_after());
    x.limit_fields.append("Retry-After: ");
    append_number(x.limit_fields, static_cast<std::uint64_t>(std::max<std::int64_t>(wait.count(), 1)));
    x.limit_fields.append("\r\n");
    x.detail = "the circuit \"" + of.breaker().name() + "\" is " + std::string(to_string(of.breaker().now())) +
               ": the upstream is not asked for a while";
    co_return false;
}

awaitable<bool> proxied_connection::forward() {
    auto& x = *exchange_;
    auto& upstream = *services_->upstreams[services_->config.routes[x.route].upstream];
    if (upstream.circuit && !co_await ask_circuit(*upstream.circuit)) {
        bool const keep = co_await skip_body();
        co_return co_await refuse({503}, keep);
    }
    forwarder way(*services_, client_, x, {peer_text_, client_address_.peer_trusted, !x.usages.empty()});
    auto const outcome = co_await way.run();
    if (x.forwarded != boot_clock::time_point{})
        x.upstream_time = boot_clock::now() - x.forwarded;
    x.upstream_error = outcome.kind;
    x.surplus = way.surplus();
    unread_ = !way.request_read();
    using result = forward_outcome::result;
    switch (outcome.what) {
    case result::done:
        co_return x.keep_alive;
    case result::refuse:
        co_return co_await refuse({outcome.status, outcome.reason}, x.keep_alive && way.request_read());
    case result::cut:
        unread_ = false;
        if (x.request.version == 10)
            reset_on_close(); // its end of the connection is the end of the body: only a reset tells
        break;
    case result::gone:
    case result::stale:
        unread_ = false;
        if (x.status == 0)
            x.status = client_closed;
        break;
    }
    co_return false;
}

void proxied_connection::reset_on_close() noexcept {
    error_code ignored;
    client_.socket().set_option(asio::socket_base::linger(true, 0), ignored);
}

} // namespace weir::proxy
