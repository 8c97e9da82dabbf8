#pragma once

#include <weir/redis/alarm.hpp>
#include <weir/redis/connecting.hpp>
#include <weir/redis/parser.hpp>
#include <weir/redis/subscriber.hpp>
#include <weir/redis/transport.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>

#include <array>
#include <stdexcept>

namespace weir::redis {
namespace detail {

/// The shell around `subscription_table` that knows Asio. Owned by shared pointers, of which whatever is under way
/// holds one.
///
/// | state      | leaves it                                                                  |
/// |------------|----------------------------------------------------------------------------|
/// | waiting    | the pause is over -> connecting                                            |
/// | connecting | connected -> handshake; refused, timed out -> waiting                      |
/// | handshake  | all is answered -> open; refused, lost, timed out -> waiting               |
/// | open       | lost, garbled, silent -> waiting                                           |
/// | closed     | never                                                                      |
class subscriber_connection final : public std::enable_shared_from_this<subscriber_connection> {
public:
    /// `follows`: `next` is asked while the connection is open, too.
    WEIR_DECL subscriber_connection(asio::io_context& context, client_options options, address_source next,
                                    bool follows);

    WEIR_DECL void start();
    WEIR_DECL void close();
    WEIR_DECL std::shared_ptr<subscription_table::registration> add(subscription_table::by how, std::string_view name,
                                                                    listener& to);
    WEIR_DECL void remove(subscription_table::registration& which);

    bool is_open() const noexcept { return state_ == state::open; }
    errc last_error() const noexcept { return last_error_; }
    std::string const& last_error_text() const noexcept { return last_error_text_; }
    WEIR_DECL subscriber_statistics stats() const;

private:
    using clock = boot_clock;
    enum class state { waiting, connecting, handshake, open, closed };

    WEIR_DECL void schedule();
    WEIR_DECL void connect();
    WEIR_DECL void on_transport(error_code ec, std::string text);
    WEIR_DECL void opened();
    WEIR_DECL void attempt_failed(errc why, std::string text);
    WEIR_DECL void failed(errc why, std::string const& text);
    WEIR_DECL void end_attempt(errc why, std::string text);
    WEIR_DECL std::chrono::milliseconds next_pause();
    WEIR_DECL void set_tick(clock::time_point when);
    WEIR_DECL void on_tick(clock::time_point now);
    WEIR_DECL void check_health(clock::time_point now);
    WEIR_DECL bool has_moved();
    WEIR_DECL void read();
    WEIR_DECL void on_read(error_code ec, std::size_t size);
    WEIR_DECL subscription_table::verdict feed(std::string_view bytes);
    WEIR_DECL void flush();

    asio::io_context& context_;
    client_options options_;
    address_source next_address_;
    bool follows_;
    address server_;
    transport transport_;
    // The end of a pause, of an attempt, of a health interval: whatever the state waits for.
    alarm tick_;
    reconnect_pause pause_;
    subscription_table table_;
    std::optional<parser> parser_;
    flat_reply reply_;
    std::array<char, 16384> read_buffer_;
    std::string writing_;
    std::size_t written_ = 0;

    state state_ = state::waiting;
    // Handlers of an earlier attempt know by it that they are late.
    std::uint64_t attempt_ = 0;
    errc last_error_{};
    std::string last_error_text_;
    // When bytes last came, or when a reply was first owed after none had been.
    clock::time_point last_progress_{};
    clock::time_point retry_refused_at_{};
    std::uint64_t connects_ = 0, connect_failures_ = 0;
    bool write_blocked_ = false;
    bool turn_scheduled_ = false;
};

WEIR_DECL subscriber_connection::subscriber_connection(asio::io_context& context, client_options options,
                                                       address_source next, bool follows)
    : context_(context)
    , options_(std::move(options))
    , next_address_(std::move(next))
    , follows_(follows)
    , server_(options_.server)
    , transport_(context)
    , tick_(context) {}

WEIR_DECL void subscriber_connection::start() {
    asio::post(context_, [self = shared_from_this()] {
        if (self->state_ != state::closed)
            self->connect();
    });
}

WEIR_DECL void subscriber_connection::close() {
    if (state_ == state::closed)
        return;
    state_ = state::closed;
    ++attempt_;
    transport_.close();
    tick_.cancel();
    table_.clear();
    table_.disconnected();
}

WEIR_DECL subscriber_statistics subscriber_connection::stats() const {
    return {connects_, connect_failures_, table_.messages(), table_.names()};
}

// ---- subscriptions

WEIR_DECL std::shared_ptr<subscription_table::registration>
subscriber_connection::add(subscription_table::by how, std::string_view name, listener& to) {
    auto result = table_.add(how, name, to);
    schedule();
    return result;
}

WEIR_DECL void subscriber_connection::remove(subscription_table::registration& which) {
    table_.remove(which);
    schedule();
}

// All that is subscribed in one turn of the loop leaves in one write.
WEIR_DECL void subscriber_connection::schedule() {
    if (state_ != state::open || std::exchange(turn_scheduled_, true))
        return;
    asio::post(context_, [self = shared_from_this()] {
        self->turn_scheduled_ = false;
        self->table_.tell_newcomers();
        self->flush();
    });
}

// ---- the connection's life

WEIR_DECL void subscriber_connection::connect() {
    auto next = next_address_();
    if (state_ == state::closed)
        return;
    state_ = state::connecting;
    ++attempt_;
    if (!next)
        return attempt_failed(errc::not_connected, "no server is known at present");
    server_ = std::move(*next);
    set_tick(clock::now() + options_.connect_timeout);
    transport_.async_connect(server_, [self = shared_from_this(), attempt = attempt_](error_code ec, std::string text) {
        if (attempt == self->attempt_)
            self->on_transport(ec, std::move(text));
    });
}

WEIR_DECL void subscriber_connection::on_transport(error_code ec, std::string text) {
    if (ec)
        return attempt_failed(ec == errc::tls_failed ? errc::tls_failed : errc::not_connected, std::move(text));
    state_ = state::handshake;
    write_blocked_ = false;
    parser_.emplace(options_.max_reply_bytes);
    table_.connected(auth_command(server_), options_.client_name);
    read();
    flush();
}

WEIR_DECL void subscriber_connection::opened() {
    state_ = state::open;
    pause_.succeeded();
    last_error_ = {};
    last_error_text_.clear();
    ++connects_;
    auto const now = clock::now();
    retry_refused_at_ = now + options_.reconnect_max;
    set_tick(now + options_.health_interval);
    if (options_.observer)
        options_.observer->on_connected();
}

WEIR_DECL void subscriber_connection::end_attempt(errc why, std::string text) {
    ++attempt_;
    transport_.close();
    writing_.clear();
    written_ = 0;
    last_error_ = why;
    last_error_text_ = std::move(text);
    table_.disconnected();
    state_ = state::waiting;
}

WEIR_DECL void subscriber_connection::attempt_failed(errc why, std::string text) {
    end_attempt(why, std::move(text));
    pause_.failed();
    ++connect_failures_;
    auto const pause = error_code{why} == kind::authentication ? options_.reconnect_max : next_pause();
    if (options_.observer)
        options_.observer->on_connect_failed(why, last_error_text_, pause);
    set_tick(clock::now() + pause);
}

WEIR_DECL void subscriber_connection::failed(errc why, std::string const& text) {
    auto words = server_.display() + ": " + text;
    if (state_ != state::open)
        return attempt_failed(why == errc::connection_lost ? errc::not_connected : why, std::move(words));
    end_attempt(why, std::move(words));
    if (options_.observer)
        options_.observer->on_disconnected(why, last_error_text_);
    set_tick(clock::now() + next_pause());
}

// Whoever listens wants the connection all the time.
WEIR_DECL std::chrono::milliseconds subscriber_connection::next_pause() {
    auto const pause = pause_.next(options_);
    return table_.names() == 0 ? pause : pause_.shortened(pause, options_);
}

WEIR_DECL void subscriber_connection::set_tick(clock::time_point when) {
    tick_.set(when, [self = shared_from_this()](clock::time_point now) { self->on_tick(now); });
}

WEIR_DECL void subscriber_connection::on_tick(clock::time_point now) {
    switch (state_) {
    case state::waiting:
        return connect();
    case state::connecting:
    case state::handshake:
        return attempt_failed(errc::not_connected, no_answer_text(server_, options_.connect_timeout));
    case state::open:
        return check_health(now);
    case state::closed:
        return;
    }
}

WEIR_DECL void subscriber_connection::check_health(clock::time_point now) {
    if (table_.outstanding()) {
        auto const patience = last_progress_ + 2 * options_.health_interval;
        if (now >= patience)
            return failed(errc::connection_lost, "no reply for two health intervals of " +
                                                     std::to_string(options_.health_interval.count()) + " ms");
        return set_tick(std::min(patience, now + options_.health_interval));
    }
    if (has_moved())
        return;
    last_progress_ = now;
    table_.ping();
    if (now >= retry_refused_at_) {
        retry_refused_at_ = now + options_.reconnect_max;
        table_.retry_refused();
    }
    set_tick(now + options_.health_interval);
    flush();
}

WEIR_DECL bool subscriber_connection::has_moved() {
    auto const next = follows_ ? next_address_() : std::nullopt;
    if (state_ == state::closed)
        return true;
    if (!next || next->display() == server_.display())
        return false;
    failed(errc::connection_lost, "left for " + next->display());
    return true;
}

// ---- bytes

WEIR_DECL void subscriber_connection::read() {
    transport_.async_read_some(asio::buffer(read_buffer_),
                               [self = shared_from_this(), attempt = attempt_](error_code ec, std::size_t size) {
                                   if (attempt == self->attempt_)
                                       self->on_read(ec, size);
                               });
}

WEIR_DECL void subscriber_connection::on_read(error_code ec, std::size_t size) {
    if (ec) {
        auto const end = explain_end(ec, server_, state_ == state::handshake);
        return failed(end.why, end.text);
    }
    last_progress_ = clock::now();
    auto const wrong = feed({read_buffer_.data(), size});
    if (state_ == state::closed)
        return; // by a listener
    if (wrong)
        return failed(wrong.why, discreet(wrong.text, server_, error_code{wrong.why}.message()));
    table_.tell_newcomers();
    if (state_ == state::closed)
        return;
    flush();
    read();
}

WEIR_DECL subscription_table::verdict subscriber_connection::feed(std::string_view bytes) {
    while (!bytes.empty()) {
        parser_->feed(bytes.substr(0, parser::max_slice));
        bytes.remove_prefix(std::min(bytes.size(), parser::max_slice));
        for (auto what = parser_->next(&reply_); what != parser::event::need_more; what = parser_->next(&reply_)) {
            if (what == parser::event::broken)
                return {errc::protocol_error, parser_->error_text()};
            auto wrong =
                what == parser::event::reply ? table_.on_reply(reply_) : table_.on_error(parser_->error_text());
            if (wrong || state_ == state::closed)
                return wrong;
            if (state_ == state::handshake && table_.open())
                opened();
        }
    }
    return {};
}

WEIR_DECL void subscriber_connection::flush() {
    // What is said at most before the connection takes it; the rest stays a wish.
    constexpr std::size_t enough = std::size_t{16} << 10;
    while ((state_ == state::open || state_ == state::handshake) && !write_blocked_) {
        if (written_ == writing_.size()) {
            writing_.clear();
            written_ = 0;
            auto const was_idle = !table_.outstanding();
            table_.prepare(writing_, enough);
            if (writing_.empty())
                return;
            if (was_idle)
                last_progress_ = clock::now();
        }
        error_code ec;
        written_ += transport_.try_write(std::string_view(writing_).substr(written_), ec);
        if (!ec)
            continue;
        write_blocked_ = true;
        // After any other error the read has still to tell what the server said before it went.
        if (ec == asio::error::would_block)
            transport_.async_wait_writable([self = shared_from_this(), attempt = attempt_](error_code) {
                if (attempt != self->attempt_)
                    return;
                self->write_blocked_ = false;
                self->flush();
            });
    }
}

inline address_source seeds_in_turn(address const& server) {
    return [server, next = std::size_t{0}]() mutable -> std::optional<address> {
        auto result = server;
        if (auto const which = next++ % (server.nodes.size() + 1))
            std::tie(result.host, result.port) = server.nodes[which - 1];
        return result;
    };
}

} // namespace detail

WEIR_DECL subscriber::subscriber(asio::io_context& context, client_options options, address_source next) {
    if (!next && options.server.topology == topology::sentinel)
        throw std::invalid_argument("a subscriber to the master of a group of sentinels needs an address_source");
    bool const follows = next != nullptr;
    if (!follows)
        next = detail::seeds_in_turn(options.server);
    connection_ =
        std::make_shared<detail::subscriber_connection>(context, std::move(options), std::move(next), follows);
    connection_->start();
}

WEIR_DECL subscriber::~subscriber() { connection_->close(); }
WEIR_DECL void subscriber::close() { connection_->close(); }
WEIR_DECL bool subscriber::connected() const noexcept { return connection_->is_open(); }
WEIR_DECL std::string const& subscriber::last_error_text() const noexcept { return connection_->last_error_text(); }
WEIR_DECL subscriber_statistics subscriber::stats() const { return connection_->stats(); }

WEIR_DECL error_code subscriber::last_error() const {
    return connection_->last_error() == errc{} ? error_code{} : error_code{connection_->last_error()};
}

WEIR_DECL subscription subscriber::subscribe(std::string_view channel, listener& to) {
    return add(detail::subscription_table::by::channel, channel, to);
}

WEIR_DECL subscription subscriber::psubscribe(std::string_view pattern, listener& to) {
    return add(detail::subscription_table::by::pattern, pattern, to);
}

WEIR_DECL subscription subscriber::add(detail::subscription_table::by how, std::string_view name, listener& to) {
    if (name.empty() || name.size() > max_name)
        throw std::invalid_argument("the name of a channel or pattern has 1 to " + std::to_string(max_name) +
                                    " bytes, this one " + std::to_string(name.size()));
    subscription result;
    result.owner_ = connection_;
    result.what_ = connection_->add(how, name, to);
    return result;
}

WEIR_DECL void subscription::reset() noexcept {
    if (auto const owner = owner_.lock(); owner && what_)
        owner->remove(*what_);
    owner_.reset();
    what_.reset();
}

} // namespace weir::redis
