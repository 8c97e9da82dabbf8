#pragma once

#include <weir/clock.hpp>
#include <weir/detail/config.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace weir::circuit {

struct hedge_options {
    /// An attempt that has no result after so long gets company. Best a high percentile of the usual time, so that few
    /// calls are made twice ("The Tail at Scale", Dean and Barroso, 2013).
    std::chrono::nanoseconds delay{std::chrono::milliseconds{50}};
    /// Attempts at most, the first included; 1 or more.
    unsigned attempts = 2;
    /// Asked before each further attempt; empty: always. A `retry_budget` here keeps hedging from doubling an overload.
    std::function<bool()> may_hedge{};
};

namespace detail {

template <class T>
struct hedge_signature {
    using type = void(std::exception_ptr, T);
};
template <>
struct hedge_signature<void> {
    using type = void(std::exception_ptr);
};

/// A hedged call under way. Owned by its attempts and its timer.
template <class T, class Operation, class Handler>
class hedged : public std::enable_shared_from_this<hedged<T, Operation, Handler>> {
    using executor_type = asio::io_context::executor_type;

public:
    hedged(executor_type executor, hedge_options how, Operation operation, Handler&& handler)
        : executor_(executor)
        , how_(std::move(how))
        , operation_(std::move(operation))
        , handler_(std::move(handler))
        , work_(asio::get_associated_executor(*handler_, executor_))
        , timer_(executor_) {}

    void start() {
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.assign([this](asio::cancellation_type type) {
                how_.attempts = 0;
                timer_.cancel();
                emit(type);
            });
        attempt();
    }

private:
    void attempt() {
        ++made_;
        ++running_;
        auto& signal = signals_.emplace_back();
        asio::co_spawn(executor_, call(this->shared_from_this()),
                       asio::bind_cancellation_slot(
                           signal.slot(), [self = this->shared_from_this()](std::exception_ptr thrown, auto... result) {
                               self->ended(thrown, std::move(result)...);
                           }));
        if (made_ < how_.attempts)
            wait();
    }

    // The operation lives as long as its attempts.
    static asio::awaitable<T> call(std::shared_ptr<hedged> self) { co_return co_await self->operation_(); }

    void wait() {
        timer_.expires_after(how_.delay);
        timer_.async_wait([self = this->shared_from_this()](boost::system::error_code ec) {
            if (!ec && self->handler_ && self->made_ < self->how_.attempts &&
                (!self->how_.may_hedge || self->how_.may_hedge()))
                self->attempt();
        });
    }

    template <class... Result>
    void ended(std::exception_ptr thrown, Result... result) {
        --running_;
        // The first success, or the last failure where nothing is under way any more.
        if (!handler_ || (thrown && running_ > 0))
            return;
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.clear();
        timer_.cancel();
        auto handler = std::move(*handler_);
        handler_.reset();
        emit(asio::cancellation_type::terminal);
        asio::dispatch(work_.get_executor(),
                       [handler = std::move(handler), thrown, ... result = std::move(result)]() mutable {
                           std::move(handler)(thrown, std::move(result)...);
                       });
    }

    void emit(asio::cancellation_type type) {
        auto const self = this->shared_from_this();
        for (auto& each : signals_)
            each.emit(type);
    }

    executor_type executor_;
    hedge_options how_;
    Operation operation_;
    std::optional<Handler> handler_;
    asio::executor_work_guard<asio::associated_executor_t<Handler, executor_type>> work_;
    asio::basic_waitable_timer<boot_clock, asio::wait_traits<boot_clock>, executor_type> timer_;
    std::list<asio::cancellation_signal> signals_;
    unsigned made_ = 0;
    unsigned running_ = 0;
};

} // namespace detail

/// Calls `operation`, a function that returns an `asio::awaitable<T>`; where it has no result after `delay`, calls it
/// once more beside, and so on, up to `attempts`. The first success completes, `void(std::exception_ptr, T)`, and the
/// others are cancelled; a failure completes where no other attempt is under way. For idempotent operations alone: what
/// is cancelled may have been done.
///
/// Cancellation: that of the attempts. Everything runs on `executor`'s thread, by one thread.
template <class Operation, class Token>
auto async_hedge(asio::io_context::executor_type executor, hedge_options how, Operation operation, Token&& token) {
    using T = typename std::invoke_result_t<Operation&>::value_type;
    using signature = typename detail::hedge_signature<T>::type;
    return asio::async_initiate<Token, signature>(
        [executor](auto&& handler, hedge_options options, Operation what) {
            using handler_type = std::decay_t<decltype(handler)>;
            std::make_shared<detail::hedged<T, Operation, handler_type>>(executor, std::move(options), std::move(what),
                                                                         std::forward<decltype(handler)>(handler))
                ->start();
        },
        token, std::move(how), std::move(operation));
}

} // namespace weir::circuit
