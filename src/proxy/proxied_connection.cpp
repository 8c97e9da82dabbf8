#include "proxy/proxied_connection.hpp"

#include "proxy/upgrade.hpp"

namespace weir::proxy {

namespace {

forward_outcome refused_by(upstream& by) noexcept {
    return {forward_outcome::result::refuse, 503, {}, {}, false, by.circuit ? &*by.circuit : nullptr};
}

} // namespace

awaitable<bool> proxied_connection::serve() {
    auto& x = *exchange_;
    if (auto const why = check(); why.status != 0) {
        bool const known_end = why.status == 404 || why.status == 405;
        bool const keep = known_end && co_await skip_body();
        co_return co_await refuse(why, keep);
    }
    if (!identify() || (services_->admission && !co_await services_->admission->decide(x, client_address_, true))) {
        bool const keep = co_await skip_body();
        co_return co_await refuse({x.status}, keep);
    }
    bool again = false;
    if (services_->config.routes[x.route].lock)
        again = co_await forward_locked();
    else
        again = co_await forward();
    if (x.once)
        services_->once->end(x);
    if (x.flight)
        flight_gate::end(x);
    if (x.lock)
        x.lock->release();
    if (services_->admission)
        services_->admission->finish(x, x.sent);
    co_return again;
}

/// The limits let the request pass: when it holds its lock, it goes.
awaitable<bool> proxied_connection::forward_locked() {
    auto& x = *exchange_;
    switch (co_await services_->gate->enter(x, client_, client_address_)) {
    case lock_gate::verdict::enter:
        co_return co_await forward();
    case lock_gate::verdict::refused: {
        bool const keep = co_await skip_body();
        co_return co_await refuse({x.status}, keep);
    }
    case lock_gate::verdict::gone:
        x.cut_off = true;
        x.status = client_closed;
        break;
    }
    co_return false;
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

/// Leave to forward the request; false: it is refused.
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
    co_return false;
}

/// What makes the choice among the targets.
std::uint64_t proxied_connection::balance_key(config::upstream const& of) const noexcept {
    auto const& x = *exchange_;
    switch (of.hash_key.from) {
    case config::hash_source::type::path:
        return hash_of(x.target.key);
    case config::hash_source::type::header:
        if (auto const* field = x.request.find(of.hash_key.header); field && !field->value.empty())
            return hash_of(field->value);
        break;
    case config::hash_source::type::ip:
        break;
    }
    return hash_of(client_address_.key);
}

awaitable<bool> proxied_connection::forward() {
    auto& x = *exchange_;
    x.upstream_index = services_->config.routes[x.route].upstream;
    auto& to = *services_->upstreams[x.upstream_index];
    auto const& how = to.settings();
    auto const key = how.balance == config::balance::consistent_hash ? balance_key(how) : 0;
    auto const& route = services_->config.routes[x.route];
    bool const executed_once = route.idempotency && once_gate::concerns(x.request.verb);
    if (!executed_once) // another protocol is no answer that could be given again
        choose_upgrades(x.request, route.upgrades, x.upgrade);
    forwarder way(*services_, client_, x,
                  {peer_text_, client_address_.peer_trusted, !x.usages.empty(), client_.is_secure(),
                   x.lock ? x.lock->fields() : std::string_view{}, x.upgrade},
                  key);
    if (executed_once) {
        std::string kept;
        auto const early = co_await begin_once(way, kept);
        if (early.what != forward_outcome::result::done)
            co_return co_await conclude(way, early);
        if (!kept.empty())
            co_return co_await give_again(kept, "Idempotent-Replayed: true\r\n", way);
    }
    if (services_->config.routes[x.route].single_flight && flight_gate::concerns(x)) {
        std::string shared;
        auto const joined = co_await services_->flights->join(x, client_, shared);
        if (joined == flight_gate::verdict::share)
            co_return co_await give_again(shared, "Cache-Status: weir; fwd=miss; collapsed\r\n", way);
        if (joined == flight_gate::verdict::gone)
            co_return co_await conclude(way, {forward_outcome::result::gone, client_closed, client_closed_text, {}});
    }
    forward_outcome outcome = refused_by(to);
    if (!to.circuit || co_await ask_circuit(*to.circuit))
        outcome = co_await way.run(to);
    if (outcome.what == forward_outcome::result::done) {
        x.ended = boot_clock::now();
        x.upstream_time = x.ended - x.forwarded;
        x.surplus = way.surplus();
        unread_ = !way.request_read();
        co_return x.keep_alive;
    }
    if (outcome.unanswered() && (how.fallback || how.fallback_upstream))
        co_return co_await fall_back(way, to, outcome);
    co_return co_await conclude(way, outcome);
}

/// Whether the request was executed before; then `replay` is what was answered.
awaitable<forward_outcome> proxied_connection::begin_once(forwarder& way, std::string& replay) {
    using result = forward_outcome::result;
    auto& x = *exchange_;
    std::string_view key;
    if (!once_gate::read_key(x, key))
        co_return forward_outcome{result::refuse, x.status, {}, {}};
    if (key.empty() && services_->config.routes[x.route].idempotency->required)
        co_return forward_outcome{result::refuse, 400, "this route wants an Idempotency-Key", {}};
    if (key.empty())
        co_return forward_outcome{};
    // All of it is compared, so all of it is read before the upstream sees any.
    auto const collected = co_await way.collect_all();
    if (collected.status == 413)
        x.detail = "with an Idempotency-Key the body may have 64 KiB at most";
    if (collected.what != result::done)
        co_return collected;
    auto const begun = co_await services_->once->begin(x, key, way.body(), replay);
    if (begun == once_gate::verdict::refused)
        co_return forward_outcome{result::refuse, x.status, {}, {}};
    co_return forward_outcome{};
}

/// Before an answer of our own: whoever has it must find the lock free.
awaitable<void> proxied_connection::give_back_lock() {
    if (exchange_->lock)
        co_await exchange_->lock->give_back();
}

/// Answers with what another request was answered.
awaitable<bool> proxied_connection::give_again(std::string_view copy, std::string_view mark, forwarder const& way) {
    auto& x = *exchange_;
    x.surplus = way.surplus();
    bool const read = !way.begun() || way.request_read();
    unread_ = !read;
    co_await give_back_lock();
    read_response kept;
    if (!read_copy(copy, x.request.verb, kept))
        co_return co_await refuse({503, "what was answered before cannot be read"}, x.keep_alive && read);
    x.keep_alive = x.keep_alive && read && !services_->draining;
    x.limit_fields.append(mark);
    outgoing_body body;
    if (kept.head.has_content_length)
        body = {http::body_framing::length, kept.head.content_length};
    write_response_head(x.reply, kept.head, body,
                        {x.request_id, services_->date, x.limit_fields, x.keep_alive, x.request.version});
    x.reply.append(kept.body);
    x.status = kept.head.status;
    co_return co_await send_reply();
}

awaitable<bool> proxied_connection::conclude(forwarder& way, forward_outcome outcome) {
    auto& x = *exchange_;
    if (x.forwarded != boot_clock::time_point{})
        x.upstream_time = boot_clock::now() - x.forwarded;
    x.upstream_error = outcome.kind;
    x.surplus = way.surplus();
    unread_ = way.begun() && !way.request_read();
    using result = forward_outcome::result;
    switch (outcome.what) {
    case result::done:
        co_return x.keep_alive;
    case result::refuse: {
        if (outcome.refused_by)
            outcome.refused_by->tell(x.limit_fields, x.detail);
        bool keep = x.keep_alive && way.request_read();
        if (!way.begun())
            keep = co_await skip_body();
        co_await give_back_lock();
        co_return co_await refuse({outcome.status, outcome.reason}, keep);
    }
    case result::cut:
        unread_ = false;
        cut_ = true;
        if (x.request.version == 10 || x.switched)
            client_.socket().close_with_reset(); // its end of the connection is the end of the body: only a reset tells
        break;
    case result::gone:
    case result::stale:
    case result::again:
        unread_ = false;
        x.cut_off = true;
        if (x.status == 0)
            x.status = client_closed;
        break;
    }
    co_return false;
}

awaitable<bool> proxied_connection::fall_back(forwarder& way, upstream& from, forward_outcome why) {
    auto& x = *exchange_;
    auto const& how = from.settings();
    if (how.fallback) {
        x.surplus = way.surplus();
        unread_ = way.begun() && !way.request_read();
        bool keep = x.keep_alive && way.request_read();
        if (!way.begun())
            keep = co_await skip_body();
        if (x.detail.empty())
            x.detail = why.reason.empty() ? "the circuit is open" : why.reason;
        co_await give_back_lock();
        co_return co_await answer_instead(*how.fallback, keep);
    }
    if (way.begun() && !way.repeatable())
        co_return co_await conclude(way, why);
    x.upstream_index = *how.fallback_upstream;
    auto& to = *services_->upstreams[x.upstream_index];
    forward_outcome outcome = refused_by(to);
    if (!to.circuit || co_await ask_circuit(*to.circuit))
        outcome = co_await way.run(to);
    co_return co_await conclude(way, outcome);
}

awaitable<bool> proxied_connection::answer_instead(config::fallback_answer const& with, bool keep) {
    auto head = begin_answer(with.status, keep);
    head.content_type = with.content_type;
    write_answer(exchange_->reply, head, with.body);
    co_return co_await send_reply();
}

} // namespace weir::proxy
