#pragma once

#include <weir/circuit/permit.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weir::circuit {
namespace detail {

class registry_state;

template <class T>
struct is_awaitable : std::false_type {};
template <class T, class Executor>
struct is_awaitable<asio::awaitable<T, Executor>> : std::true_type {};
template <class Operation>
concept coroutine = is_awaitable<std::invoke_result_t<Operation&>>::value;

} // namespace detail

/// A circuit breaker: a handle to a circuit of a `registry`, cheap to copy. Asking for leave and telling the result
/// touch no Redis and allocate nothing while the circuit is closed or open.
///
///     weir::circuit::breaker api = registry.get("api", {.failure_rate = 0.5});
///     auto answer = co_await api.async_call([&] { return fetch(request); }, asio::use_awaitable);
///
/// or by hand, where a call is not one coroutine:
///
///     auto leave = api.try_acquire();
///     if (!leave) return refuse(api.retry_after());
///     ...
///     leave.success();
///
/// May outlive its registry, and then goes on without Redis as it last was.
/// Thread safety: distinct objects of distinct registries: safe; else unsafe, and only on the thread that runs the
/// registry's io_context.
class breaker {
public:
    /// Leave for a call that begins now, or a refusal: the permit is then false. A half-open circuit of a fleet refuses
    /// while it has no lease of a probe in hand, and asks Redis for one; `async_acquire` waits for it.
    permit try_acquire() { return try_acquire(boot_clock::now()); }
    permit try_acquire(time_point now) {
        if (auto const leave = circuit_->acquire(now)) [[likely]]
            return {circuit_, leave, now};
        return {};
    }

    /// The call of a permit that was detached, by whichever instance of the fleet, ended so, after `took`. `error`, of
    /// a failure, appears in "why it tripped". Returns false, and changes nothing, where the permit belongs to another
    /// life of the circuit: the fleet's state has changed since, or that of the instance alone which gave it. Who
    /// brings a result twice is to be told so by the caller; only that of a fleet's probe counts once in any case.
    bool record(detached_permit const& of, outcome what, std::chrono::nanoseconds took, std::string_view error = {}) {
        return record(of, what, took, boot_clock::now(), error);
    }
    bool record(detached_permit const& of, outcome what, std::chrono::nanoseconds took, time_point now,
                std::string_view error) {
        return of && circuit_->record(of, what, took, now, error);
    }

    /// As `try_acquire`, with a trip to Redis where a half-open circuit wants a lease. Completes `void(error_code,
    /// permit)`. Errors: `errc::circuit_open`. Cancellation: all types, while it waits for Redis: `errc::cancelled`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, permit)) Token>
    auto async_acquire(Token&& token) {
        return asio::async_initiate<Token, void(error_code, permit)>(
            [circuit = circuit_](auto&& handler) { acquire_for(circuit, std::forward<decltype(handler)>(handler)); },
            token);
    }

    /// Runs `operation`, a function that returns an `asio::awaitable<T>`, if the circuit lets it; its result is a
    /// success, and an exception is judged by `classify` and goes on to the caller. Completes
    /// `void(std::exception_ptr, T)`. Errors: a `system_error` of `errc::circuit_open`, the operation not having been
    /// called. Cancellation: that of the operation, which is then ignored.
    template <detail::coroutine Operation, class Token>
    auto async_call(Operation operation, Token&& token) {
        return async_call(
            std::move(operation), [](auto const&...) { return outcome::success; }, std::forward<Token>(token));
    }

    /// The same; `judge` says what a result is that came without an exception: `outcome judge(T const&)`.
    template <detail::coroutine Operation, class Judge, class Token>
    auto async_call(Operation operation, Judge judge, Token&& token) {
        return asio::co_spawn(circuit_->get_executor(), guarded(*this, std::move(operation), std::move(judge)),
                              std::forward<Token>(token));
    }

    /// Runs an operation that takes a handler `void(error_code, Results...)`, if the circuit lets it:
    ///
    ///     api.async_call<std::size_t>([&](auto handler) { asio::async_read(socket, buffer, std::move(handler)); },
    ///                                 token);
    ///
    /// Completes as the operation does, whose error is judged by `classify`; or with `errc::circuit_open` and empty
    /// results, the operation not having been called. Cancellation: that of the operation.
    template <class... Results, class Operation, class Token>
    requires(!detail::coroutine<Operation>) auto async_call(Operation operation, Token&& token);

    /// Calls `operation` if the circuit lets it, and throws a `system_error` of `errc::circuit_open` where it does not.
    /// What the operation throws is judged by `classify`, and goes on to the caller.
    template <class Operation>
    std::invoke_result_t<Operation&> call(Operation&& operation) {
        auto leave = try_acquire();
        if (!leave)
            throw boost::system::system_error(errc::circuit_open, name());
        try {
            if constexpr (std::is_void_v<std::invoke_result_t<Operation&>>) {
                operation();
                leave.success();
            } else {
                std::invoke_result_t<Operation&> result = operation();
                leave.success();
                return result;
            }
        } catch (...) {
            leave.record(classify(std::current_exception()));
            throw;
        }
    }

    /// Sets the circuit by hand, over the whole fleet, or gives it back to itself; kept with who and why. Completes
    /// `void(error_code, override_result)`; the error is the Redis client's, and the circuit then as it was. Without
    /// Redis it is set here alone.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, override_result)) Token>
    auto async_set(override_request const& what, Token&& token) {
        return asio::async_initiate<Token, void(error_code, override_result)>(
            [circuit = circuit_](auto&& handler, override_request const& asked) {
                auto executor = asio::get_associated_executor(handler, circuit->get_executor());
                auto const held =
                    std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
                circuit->set(asked, [held, executor](error_code ec, override_result result) {
                    asio::post(executor, [held, ec, result] { std::move (*held)(ec, result); });
                });
            },
            token, what);
    }

    std::string const& name() const noexcept { return circuit_->name(); }
    state now() const noexcept { return circuit_->breaker().now(); }
    /// Whether the state is the fleet's, or this instance's alone.
    bool fleet() const noexcept { return circuit_->breaker().fleet(); }
    /// How long who was refused should wait; 0: not known, soon.
    std::chrono::nanoseconds retry_after() const noexcept { return circuit_->breaker().retry_after(boot_clock::now()); }
    /// Whether the fleet's state is known and up to date.
    bool attached() const noexcept { return circuit_->breaker().attached(); }
    std::uint64_t epoch() const noexcept { return circuit_->breaker().epoch(); }
    /// This instance's window.
    tally counts() const noexcept { return circuit_->breaker().counts(boot_clock::now()); }
    std::uint64_t refused() const noexcept { return circuit_->breaker().refused(); }
    transition_counts const& transitions() const noexcept { return circuit_->transitions(); }
    settings const& how() const noexcept { return circuit_->breaker().how(); }

private:
    friend class registry;
    friend class detail::registry_state;
    explicit breaker(detail::circuit_ptr circuit) noexcept
        : circuit_(std::move(circuit)) {}

    template <class Handler>
    static void acquire_for(detail::circuit_ptr const& circuit, Handler&& handler);
    template <class Operation, class Judge>
    static std::invoke_result_t<Operation&> guarded(breaker self, Operation operation, Judge judge);

    detail::circuit_ptr circuit_;
};

} // namespace weir::circuit

#include <weir/circuit/impl/breaker.hpp>
