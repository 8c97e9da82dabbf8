#pragma once

#include <weir/redis/connection.hpp>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace weir::redis::detail {

// A connection that lived this long is replaced at once when it is lost; a shorter-lived one after a pause.
inline constexpr std::chrono::seconds settled_after{1};
// One command of the handshake. Deletes itself when it is done.
class handshake_step final : public operation {
public:
    handshake_step(std::weak_ptr<connection> owner, std::uint64_t number, std::string what, redis::command bytes,
                   bool optional)
        : operation(&handshake_step::finish)
        , attempt(number)
        , name(std::move(what))
        , may_be_denied(optional)
        , owner_(std::move(owner))
        , bytes_(std::move(bytes)) {
        command = &bytes_;
        sink = &words;
    }

    std::uint64_t attempt;
    std::string name;
    // Without the permission for it the connection works all the same.
    bool may_be_denied;
    string_sink words;

private:
    static void finish(operation* base, bool invoke) {
        std::unique_ptr<handshake_step> const self(static_cast<handshake_step*>(base));
        if (auto const owner = self->owner_.lock(); owner && invoke)
            owner->on_step(*self);
    }

    std::weak_ptr<connection> owner_;
    redis::command bytes_;
};

WEIR_DECL connection::connection(asio::io_context& context, client_options options, connection_owner* owner)
    : backend(context, std::move(options))
    , owner_(owner)
    , transport_(context)
    , tick_(context) {
    if (owner)
        pipeline_.redirect_to(*this);
}

// Not at once: the context may be run much later, and the time of the attempt would be over by then.
WEIR_DECL void connection::start() {
    asio::post(context_, [self = self()] {
        if (self->state_ != state::closed)
            self->connect();
    });
}

WEIR_DECL void connection::shut() {
    state_ = state::closed;
    ++attempt_;
    transport_.close();
    tick_.cancel();
}

// ---- operations

WEIR_DECL void connection::route(operation& what, clock::time_point now) {
    hurry(now);
    pipeline_.submit(what, now);
    schedule();
}

WEIR_DECL void connection::route_later(operation& what, clock::time_point now, clock::time_point until) {
    pipeline_.submit_later(what, now, until);
    schedule();
}

// A refused password is not asked again the sooner.
WEIR_DECL void connection::hurry(clock::time_point now) {
    if (state_ != state::waiting || reconnect_at_ <= now || error_code{last_error_} == kind::authentication)
        return;
    auto const planned = std::chrono::ceil<std::chrono::milliseconds>(reconnect_at_ - now);
    if (auto const pause = pause_.shortened(planned, options_); pause < planned)
        reconnect_after(pause, now);
}

WEIR_DECL void connection::on_redirect(operation& what, errc why, std::string_view text) {
    if (owner_)
        owner_->on_redirect(*this, what, why, text);
    else
        pipeline_.refuse(what, why);
}

// ---- the connection's life

WEIR_DECL void connection::connect() {
    state_ = state::connecting;
    ++attempt_;
    set_tick(clock::now() + options_.connect_timeout);
    transport_.async_connect(options_.server, [self = self(), attempt = attempt_](error_code ec, std::string text) {
        if (attempt == self->attempt_)
            self->on_transport(ec, std::move(text));
    });
}

WEIR_DECL void connection::on_transport(error_code ec, std::string text) {
    if (ec)
        return attempt_failed(ec == errc::tls_failed ? errc::tls_failed : errc::not_connected, std::move(text));
    state_ = state::handshake;
    write_blocked_ = false;
    pipeline_.connected();
    auto const now = clock::now();
    steps_left_ = 0;
    auto const add = [&](std::string what, redis::command bytes, bool optional = false) {
        auto step = std::make_unique<handshake_step>(self(), attempt_, std::move(what), std::move(bytes), optional);
        step->deadline = now + max_timeout; // the tick ends the attempt as a whole
        pipeline_.submit_handshake(*step.release(), now);
        ++steps_left_;
    };
    auto const& server = options_.server;
    if (auto auth = auth_command(server))
        add("AUTH", std::move(*auth));
    if (server.database != 0)
        add("SELECT " + std::to_string(server.database), redis::command("SELECT", server.database));
    if (!options_.client_name.empty())
        add("CLIENT SETNAME", redis::command("CLIENT", "SETNAME", options_.client_name), true);
    for (auto const* each : options_.scripts)
        add("SCRIPT LOAD " + each->name(), redis::command("SCRIPT", "LOAD", each->source()));
    add("PING", redis::command("PING"), true);
    read();
    flush();
}

WEIR_DECL void connection::on_step(handshake_step const& step) {
    if (step.attempt != attempt_ || state_ != state::handshake)
        return;
    if (step.result && !(step.may_be_denied && step.result == errc::no_permission))
        return attempt_failed(static_cast<errc>(step.result.value()),
                              options_.server.display() + ": " + step.name + ": " +
                                  discreet(step.words.error_text(), options_.server, step.result.message()));
    if (--steps_left_ == 0)
        opened();
}

WEIR_DECL void connection::opened() {
    state_ = state::open;
    pause_.succeeded();
    last_error_ = {};
    last_error_text_.clear();
    opened_at_ = clock::now();
    pipeline_.open();
    set_tick(opened_at_ + options_.health_interval);
    if (options_.observer)
        options_.observer->on_connected();
    if (owner_)
        owner_->on_open(*this);
}

WEIR_DECL void connection::attempt_failed(errc why, std::string text) {
    ++attempt_;
    pause_.failed();
    transport_.close();
    last_error_ = why;
    last_error_text_ = std::move(text);
    pipeline_.connect_failed(why);
    auto const pause = error_code{why} == kind::authentication ? options_.reconnect_max : pause_.next(options_);
    if (options_.observer)
        options_.observer->on_connect_failed(why, last_error_text_, pause);
    reconnect_after(pause, clock::now());
    schedule();
    if (owner_)
        owner_->on_failed(*this);
}

WEIR_DECL void connection::lost(errc why, std::string const& text, bool out_of_reach) {
    ++attempt_;
    transport_.close();
    last_error_ = why;
    last_error_text_ = options_.server.display() + ": " + text;
    auto const now = clock::now();
    pipeline_.disconnected(now);
    if (out_of_reach)
        pipeline_.out_of_reach(errc::not_connected);
    if (options_.observer)
        options_.observer->on_disconnected(why, last_error_text_);
    if (now - opened_at_ >= settled_after)
        connect();
    else
        reconnect_after(pause_.next(options_), now);
    schedule();
    if (out_of_reach && owner_)
        owner_->on_failed(*this);
}

WEIR_DECL void connection::reconnect_after(std::chrono::milliseconds pause, clock::time_point now) {
    state_ = state::waiting;
    reconnect_at_ = now + pause;
    set_tick(reconnect_at_);
}

WEIR_DECL void connection::set_tick(clock::time_point when) {
    tick_.set(when, [self = self()](clock::time_point now) { self->on_tick(now); });
}

WEIR_DECL void connection::on_tick(clock::time_point now) {
    switch (state_) {
    case state::waiting:
        return connect();
    case state::connecting:
    case state::handshake:
        return attempt_failed(errc::not_connected, no_answer_text(options_.server, options_.connect_timeout));
    case state::open:
        return check_health(now);
    case state::closed:
        return;
    }
}

WEIR_DECL void connection::check_health(clock::time_point now) {
    if (!pipeline_.outstanding()) {
        pipeline_.ping();
        set_tick(now + options_.health_interval);
        return flush();
    }
    auto const patience = last_progress_ + 2 * options_.health_interval;
    if (now >= patience)
        return lost(errc::connection_lost,
                    "no reply for two health intervals of " + std::to_string(options_.health_interval.count()) + " ms",
                    true);
    set_tick(std::min(patience, now + options_.health_interval));
}

// ---- bytes

WEIR_DECL void connection::read() {
    transport_.async_read_some(asio::buffer(read_buffer_),
                               [self = self(), attempt = attempt_](error_code ec, std::size_t size) {
                                   if (attempt == self->attempt_)
                                       self->on_read(ec, size);
                               });
}

WEIR_DECL void connection::on_read(error_code ec, std::size_t size) {
    auto const attempt = attempt_;
    auto why = errc::connection_lost;
    std::string text;
    if (ec) {
        auto end = explain_end(ec, options_.server, state_ == state::handshake);
        why = end.why;
        text = std::move(end.text);
    } else {
        last_progress_ = clock::now();
        if (auto const wrong = pipeline_.feed({read_buffer_.data(), size}, last_progress_)) {
            why = static_cast<errc>(wrong.value());
            text = pipeline_.error_text();
        }
    }
    if (state_ != state::open && !text.empty())
        attempt_failed(why == errc::connection_lost ? errc::not_connected : why,
                       options_.server.display() + ": " + text);
    else if (!text.empty())
        lost(why, text);
    // What the replies give rise to is on its way before the next of them is looked for, which is not there yet.
    struct guard {
        connection& self;
        std::uint64_t attempt;
        ~guard() {
            if (attempt == self.attempt_)
                self.read();
        }
    } const goes_on{*this, attempt};
    turn();
}

WEIR_DECL void connection::flush() {
    if ((state_ != state::open && state_ != state::handshake) || write_blocked_)
        return;
    auto const was_idle = !pipeline_.outstanding();
    for (auto bytes = pipeline_.prepare_write(); !bytes.empty(); bytes = pipeline_.prepare_write()) {
        error_code ec;
        pipeline_.written(transport_.try_write(bytes, ec));
        if (!ec)
            continue;
        write_blocked_ = true;
        // After any other error the read has still to tell what the server said before it went.
        if (ec == asio::error::would_block)
            transport_.async_wait_writable([self = self(), attempt = attempt_](error_code) {
                if (attempt != self->attempt_)
                    return;
                self->write_blocked_ = false;
                self->turn();
            });
        break;
    }
    if (was_idle && pipeline_.outstanding())
        last_progress_ = clock::now();
}

} // namespace weir::redis::detail
