#pragma once

#include <weir/lock/read_write.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <type_traits>
#include <utility>

namespace weir::lock {

/// How work is shared.
struct flight_options {
    /// How soon others take over the work of one that died; 10 ms to 24 hours.
    std::chrono::milliseconds ttl{10'000};
    /// How long a caller waits for the result of another.
    std::chrono::milliseconds wait{30'000};
    /// How long a result serves those who come later; 1 ms or longer, and long enough for those who wait to read it.
    std::chrono::milliseconds keep{5000};
    /// As `lock_options::heartbeat`.
    std::chrono::milliseconds heartbeat{2000};
};

namespace detail {

// Its parameters live in its frame, which is why they come by value.
template <class Operation>
asio::awaitable<published> fly(manager& locks, std::string name, flight_options how, Operation operation) {
    auto const until = boot_clock::now() + how.wait;
    lock_options taken{.ttl = how.ttl, .heartbeat = how.heartbeat};
    for (;;) {
        if (auto found = co_await locks.async_result(name, asio::use_awaitable))
            co_return std::move(*found);
        bool leads = false;
        lease under;
        try {
            taken.wait = std::chrono::milliseconds{0};
            under = co_await locks.async_lock(name, read_write::writer, taken, asio::use_awaitable);
            leads = true;
        } catch (boost::system::system_error const& e) {
            if (e.code() != errc::lock_busy)
                throw;
        }
        if (leads) {
            // Somebody may have finished since the first look.
            if (auto found = co_await locks.async_result(name, asio::use_awaitable))
                co_return std::move(*found);
            published made;
            made.fence = under.fence();
            made.value = co_await operation(under);
            co_await under.async_publish(made.value, how.keep, asio::use_awaitable);
            co_return made;
        }
        // All who wait are let in together when the result is there, or its maker gone: then one of them makes it.
        auto const left = std::chrono::duration_cast<std::chrono::milliseconds>(until - boot_clock::now());
        taken.wait = std::max(left, std::chrono::milliseconds{1});
        co_await locks.async_lock(name, read_write::reader, taken, asio::use_awaitable);
    }
}

} // namespace detail

/// Runs `operation`, a function of a `lease&` that returns an `asio::awaitable<std::string>`, once for all who ask for
/// `name` at the same time on any instance, and shares its result with them and with those who come while it is kept.
/// Completes `void(std::exception_ptr, published)`.
///
/// The name is that of a lock, too (a `read_write` one). A result counts only if its maker still held the lock when it
/// was stored: one that was too slow cannot overwrite that of its successor, and fails with `errc::lock_lost`. Where
/// the operation throws, its caller has the exception, and one of those who wait tries next. If its maker dies, that is
/// after the ttl.
///
/// Errors: a `system_error` of what `manager::async_lock` completes with, `lock_busy` where the wait is over; what the
/// operation throws. Cancellation: that of waiting, or of the operation.
template <class Operation, class Token>
auto async_single_flight(manager& locks, std::string name, flight_options how, Operation operation, Token&& token) {
    return asio::co_spawn(locks.get_executor(), detail::fly(locks, std::move(name), how, std::move(operation)),
                          std::forward<Token>(token));
}

} // namespace weir::lock
