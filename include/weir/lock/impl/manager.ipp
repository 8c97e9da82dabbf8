#pragma once

#include <weir/circuit/detail/random.hpp>
#include <weir/detail/random_id.hpp>
#include <weir/lock/detail/manager_state.hpp>
#include <weir/lock/impl/held_lock.ipp>
#include <weir/lock/impl/script.ipp>

#include <array>
#include <charconv>
#include <unistd.h>

namespace weir::lock {
namespace detail {

inline std::string default_who() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    return std::string(host.data()) + ":" + std::to_string(::getpid());
}

inline std::optional<std::uint64_t> second_half(std::string_view token) noexcept {
    std::uint64_t value = 0;
    if (token.size() != 32)
        return std::nullopt;
    auto const [end, ec] = std::from_chars(token.data() + 16, token.data() + 32, value, 16);
    return ec == std::errc{} && end == token.data() + 32 ? std::optional(value) : std::nullopt;
}

WEIR_DECL manager_state::manager_state(redis::client& client, manager_options options)
    : executor_(client.get_executor())
    , client_(&client)
    , options_(std::move(options)) {
    auto const bits = weir::detail::random_id();
    id_ = bits.substr(0, 16);
    random_ = *second_half(bits);
    if (options_.who.empty())
        options_.who = default_who();
}

WEIR_DECL void manager_state::listen(redis::subscriber& news) {
    std::string channel;
    append_lock_channel(channel, options_.key_prefix);
    subscription_ = news.subscribe(channel + id_, *this);
}

WEIR_DECL key_layout manager_state::layout() const noexcept {
    return client_->options().server.topology == redis::topology::cluster ? key_layout::cluster
                                                                          : key_layout::standalone;
}

WEIR_DECL std::string manager_state::next_token() {
    std::string token = id_;
    token.reserve(32);
    append_hex(token, circuit::detail::next_random(random_));
    return token;
}

WEIR_DECL cancellable* manager_state::start(std::string_view name, lock_options const& how, portion what,
                                            std::shared_ptr<acquire_waiter> waiter) {
    validate(name, how, what);
    if (closed_) {
        waiter->complete(errc::client_closed, nullptr);
        return nullptr;
    }
    if (auto* const known = held_by(name, how, what)) {
        waiter->complete({}, known);
        return nullptr;
    }
    demand wanted;
    wanted.token = next_token();
    wanted.who = options_.who;
    if (!how.on_behalf_of.empty())
        wanted.who.append(" ").append(how.on_behalf_of);
    wanted.weight = what.weight;
    wanted.limit = what.limit;
    wanted.lasts = how.ttl;
    if (how.wait.count() > 0)
        wanted.heartbeat = how.heartbeat;
    held_lock_ptr const made(new held_lock(shared_from_this(), name, how, std::move(wanted)));
    live_.emplace(*second_half(made->token()), made.get());
    made->start(std::move(waiter));
    return made.get();
}

WEIR_DECL held_lock_ptr manager_state::find(std::string_view token) const {
    auto const half = token.substr(0, 16) == id_ ? second_half(token) : std::nullopt;
    auto const found = half ? live_.find(*half) : live_.end();
    return found == live_.end() ? nullptr : found->second;
}

WEIR_DECL void manager_state::forget(held_lock& lock) noexcept { live_.erase(*second_half(lock.token())); }

WEIR_DECL held_lock* manager_state::held_by(std::string_view name, lock_options const& how, portion what) {
    if (!how.owner)
        return nullptr;
    auto const found = owned_.find({std::string(name), how.owner});
    return found != owned_.end() && found->second->enter(what) ? found->second : nullptr;
}

WEIR_DECL void manager_state::own(held_lock& lock) {
    if (lock.owner())
        owned_.insert_or_assign({lock.name(), lock.owner()}, &lock);
}

WEIR_DECL void manager_state::disown(held_lock& lock) noexcept {
    if (!lock.owner())
        return;
    for (auto each = owned_.begin(); each != owned_.end(); ++each)
        if (each->second == &lock) {
            owned_.erase(each);
            return;
        }
}

WEIR_DECL redis::client& manager_state::durable_client() {
    if (!durable_) {
        auto options = client_->options();
        options.client_name += "-durable";
        // While it waits for replicas the server is silent.
        options.health_interval =
            std::max<std::chrono::milliseconds>(options.health_interval, std::chrono::seconds{30});
        auto& context = static_cast<asio::io_context&>(executor_.context());
        durable_.emplace(context, std::move(options));
    }
    return *durable_;
}

WEIR_DECL void manager_state::on_message(redis::message const& what) noexcept {
    auto const message = read_message(what.payload);
    auto const lock = message ? find(message->token) : nullptr;
    if (!lock)
        return;
    if (!message->offered)
        lock->taken_away();
    else if (message->fence == 0)
        lock->woken();
    else
        lock->handed(*message);
}

/// An offer may have been missed: all who wait look again.
WEIR_DECL void manager_state::on_gap() noexcept {
    if (options_.fault == known_fault::no_second_look)
        return;
    std::vector<held_lock_ptr> waiting;
    for (auto const& [token, lock] : live_)
        if (lock->attempting())
            waiting.emplace_back(lock);
    for (auto const& each : waiting)
        each->woken();
}

WEIR_DECL void manager_state::break_open(std::string_view name, std::function<void(error_code, std::int64_t)> done) {
    struct exchange {
        redis::command command;
        redis::int_sink<1> reply{1};
        std::function<void(error_code, std::int64_t)> done;
    };
    auto made = std::make_unique<exchange>();
    made->done = std::move(done);
    script_calls(options_.key_prefix, name, layout()).break_open(made->command, 1, *options_.code->break_open);
    auto& held = *made;
    client_->async_exec(held.command, held.reply, {.idempotent = true},
                        [made = std::move(made)](error_code ec) { made->done(ec, ec ? 0 : made->reply[0]); });
}

WEIR_DECL void manager_state::read_result(std::string_view name,
                                          std::function<void(error_code, std::optional<published>)> done) {
    struct exchange {
        redis::command command;
        redis::string_sink reply;
        std::function<void(error_code, std::optional<published>)> done;
    };
    auto made = std::make_unique<exchange>();
    made->done = std::move(done);
    made->command.start(2).arg("GET").key(script_calls(options_.key_prefix, name, layout()).result_key());
    auto& kept = *made;
    client_->async_exec(kept.command, kept.reply, {.idempotent = true}, [made = std::move(made)](error_code ec) {
        std::string_view text = made->reply.value();
        published found;
        if (ec || !made->reply.has_value())
            return made->done(ec, std::nullopt);
        if (!read_number(next_word(text), found.fence))
            return made->done(errc::unexpected_reply, std::nullopt);
        found.value = text;
        made->done({}, std::move(found));
    });
}

WEIR_DECL void manager_state::settle(bool extends, std::string_view name, holding const& of,
                                     std::function<void(error_code, bool)> done) {
    struct exchange {
        redis::command command;
        redis::int_sink<1> reply{1};
        std::function<void(error_code, bool)> done;
    };
    auto made = std::make_unique<exchange>();
    made->done = std::move(done);
    script_calls const calls(options_.key_prefix, name, layout());
    if (extends)
        calls.extend(made->command, of.what, of.fence, *options_.code->extend);
    else
        calls.release(made->command, of.what, of.fence, std::chrono::milliseconds{0}, *options_.code->release);
    auto& kept = *made;
    client_->async_exec(kept.command, kept.reply, {.idempotent = true},
                        [made = std::move(made)](error_code ec) { made->done(ec, !ec && made->reply[0] == 1); });
}

WEIR_DECL void manager_state::close() noexcept {
    if (closed_)
        return;
    closed_ = true;
    subscription_.reset();
    owned_.clear();
    std::vector<held_lock_ptr> all;
    for (auto const& [token, lock] : live_)
        all.emplace_back(lock);
    for (auto const& each : all)
        each->shut();
    durable_.reset();
}

} // namespace detail

WEIR_DECL manager::manager(redis::client& client, manager_options options)
    : state_(std::make_shared<detail::manager_state>(client, std::move(options)))
    , source_(state_.get()) {}

WEIR_DECL manager::manager(redis::client& client, redis::subscriber& news, manager_options options)
    : manager(client, std::move(options)) {
    state_->listen(news);
}

WEIR_DECL manager::~manager() { close(); }

WEIR_DECL manager_statistics manager::stats() const noexcept { return state_->counts(); }

WEIR_DECL std::string const& manager::id() const noexcept { return state_->id(); }

WEIR_DECL void manager::close() noexcept { state_->close(); }

WEIR_DECL void manager::settle(detail::manager_state& state, bool extends, std::string_view name, holding const& of,
                               std::function<void(error_code, bool)> done) {
    state.settle(extends, name, of, std::move(done));
}

WEIR_DECL void manager::read_result(detail::manager_state& state, std::string_view name,
                                    std::function<void(error_code, std::optional<published>)> done) {
    state.read_result(name, std::move(done));
}

WEIR_DECL void manager::break_open(detail::manager_state& state, std::string_view name,
                                   std::function<void(error_code, std::int64_t)> done) {
    state.break_open(name, std::move(done));
}

} // namespace weir::lock
