#pragma once

#include <weir/lock/lease.hpp>
#include <weir/lock/options.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/subscriber.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weir::lock {
namespace detail {

class manager_state;

/// Somebody who waits for a lock.
class acquire_waiter {
public:
    /// Called once.
    virtual void complete(error_code ec, held_ptr lock) = 0;

protected:
    ~acquire_waiter() = default;
};

/// An attempt under way, as far as its waiter can change it.
class cancellable {
public:
    virtual void cancel() = 0;

protected:
    ~cancellable() = default;
};

/// What begins attempts.
class lock_source {
public:
    /// Throws `std::invalid_argument`. The result, null where it is over already, lives at least until the waiter is
    /// completed.
    virtual cancellable* start(std::string_view name, lock_options const& how, portion what,
                               std::shared_ptr<acquire_waiter> waiter) = 0;
    virtual asio::io_context::executor_type get_executor() const noexcept = 0;

protected:
    ~lock_source() = default;
};

template <class Handler>
class acquire_operation final : public acquire_waiter, public std::enable_shared_from_this<acquire_operation<Handler>> {
public:
    acquire_operation(lock_source const& owner, Handler&& handler)
        : handler_(std::move(handler))
        , work_(asio::get_associated_executor(*handler_, owner.get_executor())) {}

    void start(lock_source& owner, std::string_view name, lock_options const& how, portion what) {
        auto* const under_way = owner.start(name, how, what, this->shared_from_this());
        if (!under_way)
            return;
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.assign([under_way](asio::cancellation_type type) {
                if (type != asio::cancellation_type::none)
                    under_way->cancel();
            });
    }

    void complete(error_code ec, held_ptr lock) override {
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.clear();
        asio::post(work_.get_executor(), [self = this->shared_from_this(), ec, got = lease(std::move(lock))]() mutable {
            Handler handler(std::move(*self->handler_));
            self->handler_.reset();
            std::move(handler)(ec, std::move(got));
        });
    }

private:
    std::optional<Handler> handler_;
    asio::executor_work_guard<asio::associated_executor_t<Handler, asio::io_context::executor_type>> work_;
};

template <class Token>
auto async_lock_from(lock_source& from, std::string name, portion what, lock_options const& how, Token&& token) {
    return asio::async_initiate<Token, void(error_code, lease)>(
        [source = &from](auto&& handler, std::string const& of, portion share, lock_options const& options) {
            using handler_type = std::decay_t<decltype(handler)>;
            std::make_shared<acquire_operation<handler_type>>(*source,
                                                              handler_type(std::forward<decltype(handler)>(handler)))
                ->start(*source, of, options, share);
        },
        token, std::move(name), what, how);
}

} // namespace detail

/// What a holder left beside his lock.
struct published {
    /// That of the lock under which it was made.
    std::uint64_t fence = 0;
    std::string value;
};

/// What a manager has done. Plain counters, to be read on its thread.
struct manager_statistics {
    std::uint64_t acquired = 0;
    /// Of those, from the hands of another.
    std::uint64_t handed_over = 0;
    /// Not obtained.
    std::uint64_t refused = 0;
    std::uint64_t released = 0;
    std::uint64_t lost = 0;
    /// Requests to Redis by which they were asked for.
    std::uint64_t asked = 0;
    /// Attempts and leases under way, those being cleaned up included.
    std::size_t live = 0;
};

/// The locks of an instance: takes them, waits for them, and keeps them.
///
///     weir::lock::manager locks{redis, news};
///     auto lease = co_await locks.async_lock("nightly-report", {.ttl = 30s, .wait = 10s}, asio::use_awaitable);
///     store.write(report, lease.fence());
///
/// Who waits has a place in a queue in Redis and is woken when it is his turn, by the subscriber; without one, or while
/// its connection is away, he asks four times a heartbeat.
///
/// Redis is told of nothing twice: each attempt has an id of its own, by which a request that is sent again, because
/// its reply was lost, comes to the same grant; one that is cancelled or gives up leaves nothing behind.
///
/// The client should have been given `scripts()`, and must outlive the manager, as must the subscriber. The leases keep
/// `io_context::run` from returning, and so does the manager, until it is closed or destroyed.
/// Thread safety: distinct objects: safe; shared objects: unsafe, and only on the thread that runs the io_context.
class manager {
public:
    WEIR_DECL explicit manager(redis::client& client, manager_options options = {});
    WEIR_DECL manager(redis::client& client, redis::subscriber& news, manager_options options = {});
    manager(manager const&) = delete;
    manager& operator=(manager const&) = delete;
    /// As `close`.
    WEIR_DECL ~manager();

    /// Takes the lock `name`, for one holder at a time. Completes `void(error_code, lease)`.
    ///
    /// Errors: `errc::lock_busy`, somebody held it for all of `options.wait`; `lock_not_durable`; those of the client,
    /// after what passes was tried again for as long as there was time; `wrong_type`, the key is no lock's. In none of
    /// them the lock is held, nor will a request still under way take it. Throws `std::invalid_argument` as `validate`.
    ///
    /// Cancellation: total, partial and terminal alike, at once: `errc::cancelled`; what was granted meanwhile is given
    /// back behind it.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_lock(std::string_view name, lock_options const& options, Token&& token) {
        return async_lock(name, portion{}, options, std::forward<Token>(token));
    }

    /// The same for a portion of it. Who holds and who waits must mean the same limit; where it changes, each is let in
    /// by the limit of the call that lets him in.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_lock(std::string_view name, portion what, lock_options const& options, Token&& token) {
        return detail::async_lock_from(*source_, std::string(name), what, options, std::forward<Token>(token));
    }

    /// Reads what the last holder published beside the lock `name` and is still kept. Completes
    /// `void(error_code, std::optional<published>)`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, std::optional<published>)) Token>
    auto async_result(std::string_view name, Token&& token) {
        return asio::async_initiate<Token, void(error_code, std::optional<published>)>(
            [state = state_.get(), home = get_executor()](auto&& handler, std::string const& of) {
                auto const executor = asio::get_associated_executor(handler, home);
                auto const kept =
                    std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
                read_result(*state, of, [kept, executor](error_code ec, std::optional<published> found) {
                    asio::post(executor, [kept, ec, found = std::move(found)]() mutable {
                        std::move (*kept)(ec, std::move(found));
                    });
                });
            },
            token, std::string(name));
    }

    /// Takes a lock from whoever holds it, tells them, and hands it to the next who waits. Completes
    /// `void(error_code, std::int64_t)` with how many held it.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, std::int64_t)) Token>
    auto async_break(std::string_view name, Token&& token) {
        return asio::async_initiate<Token, void(error_code, std::int64_t)>(
            [state = state_.get(), home = get_executor()](auto&& handler, std::string const& of) {
                auto const executor = asio::get_associated_executor(handler, home);
                auto const kept =
                    std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
                break_open(*state, of, [kept, executor](error_code ec, std::int64_t count) {
                    asio::post(executor, [kept, ec, count] { std::move (*kept)(ec, count); });
                });
            },
            token, std::string(name));
    }

    /// Renews the lock `name` that is held by a text of `lease::detach`, for as long as it was taken for. Completes
    /// `void(error_code, bool)`: whether it was still held. Not to be cancelled.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, bool)) Token>
    auto async_extend_held(std::string_view name, holding const& of, Token&& token) {
        return settle_as(true, name, of, std::forward<Token>(token));
    }
    /// Gives it back. The same.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, bool)) Token>
    auto async_release_held(std::string_view name, holding const& of, Token&& token) {
        return settle_as(false, name, of, std::forward<Token>(token));
    }

    asio::io_context::executor_type get_executor() const noexcept { return source_->get_executor(); }
    WEIR_DECL manager_statistics stats() const noexcept;
    /// The first half of the token of each of its attempts, 16 hexadecimal digits, and the end of its channel's name.
    WEIR_DECL std::string const& id() const noexcept;

    /// Ends all attempts with `errc::client_closed` and gives all locks back, whose leases are then lost.
    WEIR_DECL void close() noexcept;

private:
    template <class Token>
    auto settle_as(bool extends, std::string_view name, holding const& of, Token&& token) {
        return asio::async_initiate<Token, void(error_code, bool)>(
            [state = state_.get(), home = get_executor(), extends](auto&& handler, std::string const& which,
                                                                   holding const& what) {
                auto const executor = asio::get_associated_executor(handler, home);
                auto const kept =
                    std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
                settle(*state, extends, which, what, [kept, executor](error_code ec, bool held) {
                    asio::post(executor, [kept, ec, held] { std::move (*kept)(ec, held); });
                });
            },
            token, std::string(name), of);
    }

    WEIR_DECL static void settle(detail::manager_state& state, bool extends, std::string_view name, holding const& of,
                                 std::function<void(error_code, bool)> done);
    WEIR_DECL static void read_result(detail::manager_state& state, std::string_view name,
                                      std::function<void(error_code, std::optional<published>)> done);
    WEIR_DECL static void break_open(detail::manager_state& state, std::string_view name,
                                     std::function<void(error_code, std::int64_t)> done);

    std::shared_ptr<detail::manager_state> state_;
    // The same, as far as templates need it.
    detail::lock_source* source_;
};

} // namespace weir::lock

#if defined(WEIR_HEADER_ONLY)
#include <weir/lock/impl/manager.ipp>
#endif
