#pragma once

#include <weir/circuit/breaker.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associator.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <optional>

namespace weir::circuit {
namespace detail {

template <class Handler>
class acquire_operation final : public acquire_waiter, public std::enable_shared_from_this<acquire_operation<Handler>> {
public:
    acquire_operation(circuit_ptr circuit, Handler&& handler)
        : circuit_(std::move(circuit))
        , handler_(std::move(handler))
        , work_(asio::get_associated_executor(*handler_, circuit_->get_executor())) {}

    void start(time_point now) {
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.assign([this](asio::cancellation_type type) {
                if (type != asio::cancellation_type::none)
                    circuit_->give_up(*this);
            });
        circuit_->wait(this->shared_from_this(), now);
    }

    void complete(error_code ec, ticket of) override {
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.clear();
        asio::post(work_.get_executor(), [self = this->shared_from_this(), ec, of] {
            permit leave = of ? make_permit(self->circuit_, of) : permit();
            Handler handler(std::move(*self->handler_));
            self->handler_.reset();
            std::move(handler)(ec, std::move(leave));
        });
    }

private:
    circuit_ptr circuit_;
    std::optional<Handler> handler_;
    asio::executor_work_guard<asio::associated_executor_t<Handler, circuit_state::executor_type>> work_;
};

/// Goes on with the operation when there is leave.
template <class Operation, class Handler, class... Results>
struct call_when_acquired {
    Operation operation;
    Handler handler;

    void operator()(error_code ec, permit leave);
};

/// Records what the operation completed with.
template <class Handler, class... Results>
struct recording_handler {
    permit leave;
    Handler handler;

    void operator()(error_code ec, Results... results) {
        leave.record(classify(ec), ec ? ec.message() : std::string());
        std::move(handler)(ec, std::move(results)...);
    }
};

template <class Operation, class Handler, class... Results>
void call_when_acquired<Operation, Handler, Results...>::operator()(error_code ec, permit leave) {
    if (ec)
        return std::move(handler)(ec, Results{}...);
    std::move(operation)(recording_handler<Handler, Results...>{std::move(leave), std::move(handler)});
}

} // namespace detail

template <class Handler>
void breaker::acquire_for(detail::circuit_ptr const& circuit, Handler&& handler) {
    using handler_type = std::decay_t<Handler>;
    auto const now = boot_clock::now();
    auto const leave = circuit->breaker().acquire(now);
    if (!leave && circuit->fleet().want_lease(now))
        return std::make_shared<detail::acquire_operation<handler_type>>(circuit, std::forward<Handler>(handler))
            ->start(now);
    if (!leave)
        circuit->attend(now);
    auto const executor = asio::get_associated_executor(handler, circuit->get_executor());
    asio::post(executor, [handler = std::forward<Handler>(handler),
                          result = leave ? detail::make_permit(circuit, leave, now) : permit()]() mutable {
        auto const ec = result ? error_code{} : error_code{errc::circuit_open};
        std::move(handler)(ec, std::move(result));
    });
}

template <class... Results, class Operation, class Token>
requires(!detail::coroutine<Operation>) auto breaker::async_call(Operation operation, Token&& token) {
    return asio::async_initiate<Token, void(error_code, Results...)>(
        [circuit = circuit_](auto&& handler, Operation what) {
            using handler_type = std::decay_t<decltype(handler)>;
            acquire_for(circuit, detail::call_when_acquired<Operation, handler_type, Results...>{
                                     std::move(what), std::forward<decltype(handler)>(handler)});
        },
        token, std::move(operation));
}

// Its parameters live in its frame, which is why they come by value.
template <class Operation, class Judge>
std::invoke_result_t<Operation&> breaker::guarded(breaker self, Operation operation, Judge judge) {
    using result_type = typename std::invoke_result_t<Operation&>::value_type;
    auto leave = co_await self.async_acquire(asio::use_awaitable);
    std::exception_ptr thrown;
    try {
        if constexpr (std::is_void_v<result_type>) {
            co_await operation();
            leave.record(judge());
            co_return;
        } else {
            auto result = co_await operation();
            leave.record(judge(std::as_const(result)));
            co_return result;
        }
    } catch (boost::system::system_error const& e) {
        thrown = std::current_exception();
        leave.record(classify(e.code()), e.code().message());
    } catch (std::exception const& e) {
        thrown = std::current_exception();
        leave.record(classify(thrown), e.what());
    } catch (...) {
        thrown = std::current_exception();
        leave.record(outcome::failure);
    }
    std::rethrow_exception(thrown);
}

} // namespace weir::circuit

// The caller's executor, allocator and cancellation slot are those of the operation.
namespace boost::asio {

template <template <class, class> class Associator, class Operation, class Handler, class... Results, class Default>
struct associator<Associator, weir::circuit::detail::call_when_acquired<Operation, Handler, Results...>, Default>
    : Associator<Handler, Default> {
    using target = weir::circuit::detail::call_when_acquired<Operation, Handler, Results...>;
    static auto get(target const& h) noexcept { return Associator<Handler, Default>::get(h.handler); }
    static auto get(target const& h, Default const& d) noexcept {
        return Associator<Handler, Default>::get(h.handler, d);
    }
};

template <template <class, class> class Associator, class Handler, class... Results, class Default>
struct associator<Associator, weir::circuit::detail::recording_handler<Handler, Results...>, Default>
    : Associator<Handler, Default> {
    using target = weir::circuit::detail::recording_handler<Handler, Results...>;
    static auto get(target const& h) noexcept { return Associator<Handler, Default>::get(h.handler); }
    static auto get(target const& h, Default const& d) noexcept {
        return Associator<Handler, Default>::get(h.handler, d);
    }
};

} // namespace boost::asio
