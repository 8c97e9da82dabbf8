#pragma once

#include <weir/lock/manager.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace weir::lock {
namespace detail {

using loss_timer =
    asio::basic_waitable_timer<boot_clock, asio::wait_traits<boot_clock>, asio::io_context::executor_type>;

template <class Operation>
using awaited_t = typename std::invoke_result_t<Operation&, lease&>::value_type;

template <class Result>
struct kept_result {
    std::optional<Result> value;
    Result take() { return std::move(*value); }
};
template <>
struct kept_result<void> {
    void take() {}
};

template <class Operation, class Result>
asio::awaitable<void> run_and_keep(Operation& operation, lease& under, kept_result<Result>& into) {
    if constexpr (std::is_void_v<Result>)
        co_await operation(under);
    else
        into.value.emplace(co_await operation(under));
}

// Its parameters live in its frame, which is why they come by value.
template <class Operation>
asio::awaitable<awaited_t<Operation>> guarded(manager& locks, std::string name, portion what, lock_options how,
                                              Operation operation) {
    auto under = co_await locks.async_lock(name, what, how, asio::use_awaitable);
    auto const executor = locks.get_executor();
    // Rings where the lease is lost, and then the group cancels the operation.
    auto const loss = std::make_shared<loss_timer>(executor, loss_timer::time_point::max());
    auto const lost = std::make_shared<bool>(false);
    under.on_lost([loss, lost] {
        *lost = true;
        loss->cancel();
    });
    if (*lost)
        throw boost::system::system_error(errc::lock_lost, name);
    kept_result<awaited_t<Operation>> result;
    auto [order, thrown, rung] = co_await asio::experimental::make_parallel_group(
                                     asio::co_spawn(executor, run_and_keep(operation, under, result), asio::deferred),
                                     loss->async_wait(asio::deferred))
                                     .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    under.release();
    if (*lost)
        throw boost::system::system_error(errc::lock_lost, name);
    if (thrown)
        std::rethrow_exception(thrown);
    co_return result.take();
}

} // namespace detail

/// Runs `operation`, a function of a `lease&` that returns an `asio::awaitable<T>`, while the lock is held, and gives
/// it back behind it. If the lock is lost, the operation is cancelled (terminal, partial and total), a margin before
/// another can have it. Completes `void(std::exception_ptr, T)`.
///
///     co_await weir::lock::async_with_lock(locks, "nightly-report", {.wait = 10s},
///         [&](weir::lock::lease& lease) { return write_report(lease.fence()); }, asio::use_awaitable);
///
/// Errors: a `system_error` of what `manager::async_lock` completes with, the operation not having been called; of
/// `errc::lock_lost`, the operation having been cancelled, whatever it came to; else what it throws. Cancellation: that
/// of waiting, then that of the operation.
template <class Operation, class Token>
auto async_with_lock(manager& locks, std::string name, lock_options how, Operation operation, Token&& token) {
    return asio::co_spawn(locks.get_executor(),
                          detail::guarded(locks, std::move(name), portion{}, std::move(how), std::move(operation)),
                          std::forward<Token>(token));
}

/// The same for a portion of it: `read_write::reader`, for example.
template <class Operation, class Token>
auto async_with_lock(manager& locks, std::string name, portion what, lock_options how, Operation operation,
                     Token&& token) {
    return asio::co_spawn(locks.get_executor(),
                          detail::guarded(locks, std::move(name), what, std::move(how), std::move(operation)),
                          std::forward<Token>(token));
}

} // namespace weir::lock
