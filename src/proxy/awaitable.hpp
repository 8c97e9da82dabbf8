#pragma once

#include "proxy/frame_pool.hpp"

#include <weir/detail/config.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <coroutine>
#include <utility>

namespace weir::proxy {

/// Everything is bound to the executor of one io_context by its concrete type, not to any_io_executor: the type-erased
/// one costs an indirect call and a reference count for every operation.
using executor = asio::io_context::executor_type;

/// Asio's awaitable, and to be used as that, but for the memory of the coroutine: it comes from the frame_pool.
template <class T = void>
class [[nodiscard]] awaitable : public asio::awaitable<T, executor> {
    using base = asio::awaitable<T, executor>;
    using base_promise = typename std::coroutine_traits<base>::promise_type;

public:
    class promise_type : public base_promise {
    public:
        static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
        static void operator delete(void* frame, std::size_t size) noexcept { frame_pool::deallocate(frame, size); }

        awaitable get_return_object() noexcept {
            awaitable made{base_promise::get_return_object()};
            this->coro_ = std::coroutine_handle<promise_type>::from_promise(*this);
            return made;
        }

        using base_promise::await_transform;
        template <class U>
        auto await_transform(asio::awaitable<U, executor> called) const {
            return call<U>{base_promise::await_transform(std::move(called))};
        }
    };

private:
    /// The wait for another coroutine, which asks for the caller's promise by its exact type.
    template <class U>
    struct call {
        asio::awaitable<U, executor> called;

        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> caller) {
            called.await_suspend(std::coroutine_handle<base_promise>::from_promise(caller.promise()));
        }
        U await_resume() { return called.await_resume(); }
    };

    explicit awaitable(base&& made) noexcept
        : base(std::move(made)) {}
};

} // namespace weir::proxy
