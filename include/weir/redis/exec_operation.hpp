#pragma once

#include <weir/redis/backend.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>

namespace weir::redis {

/// How one operation is executed.
struct exec_options {
    /// From the submission to the reply; 0: the client's default. At most 24 hours.
    std::chrono::nanoseconds timeout{0};
    /// May be executed twice: it may then be sent again after a lost connection, within its deadline.
    bool idempotent = false;
    /// Where to note by which connection the reply came, before completion: a number that the process gives to no other
    /// connection, nor to a later one to the same server. For commands that speak of what their connection has done
    /// before (WAIT). It stays as it was where no reply came. Null: nowhere. Must stay alive until completion.
    std::uint64_t* answered_by = nullptr;
};

} // namespace weir::redis

// Operations with a completion handler: what lies between Asio's tokens and `operation`.

namespace weir::redis::detail {

using home_executor = asio::io_context::executor_type;

// Whether a handler of this executor may be called where the client's own handlers run.
template <class Executor>
bool runs_here(Executor const& executor, home_executor const& home) noexcept {
    if constexpr (std::same_as<Executor, home_executor>) {
        return executor == home;
    } else if constexpr (std::same_as<Executor, asio::any_io_executor>) {
        auto const* const target = executor.template target<home_executor>();
        return target && *target == home;
    } else {
        return false;
    }
}

template <class Handler>
auto allocator_of(Handler const& handler) noexcept {
    return asio::get_associated_allocator(handler, asio::recycling_allocator<void>());
}

// An operation of the client's own thread: one block from the handler's allocator, freed before the handler runs.
template <class Handler>
class exec_operation final : public operation {
public:
    static void start(backend& owner, Handler&& handler, auto&& submit) {
        auto allocator = rebound(handler);
        auto* const memory = std::allocator_traits<decltype(allocator)>::allocate(allocator, 1);
        // Construction only moves the handler, which Asio requires not to throw.
        auto* const self = ::new (static_cast<void*>(memory)) exec_operation(owner, std::move(handler));
        auto slot = asio::get_associated_cancellation_slot(self->handler_);
        if (slot.is_connected())
            slot.template emplace<canceller>(self);
        submit(*self);
    }

private:
    using executor_type = asio::associated_executor_t<Handler, home_executor>;

    struct canceller {
        explicit canceller(exec_operation* target) noexcept
            : who(target) {}
        void operator()(asio::cancellation_type type) const {
            if (type != asio::cancellation_type::none)
                who->owner_.cancel(*who);
        }
        exec_operation* who;
    };

    exec_operation(backend& owner, Handler&& handler)
        : operation(&exec_operation::finish)
        , owner_(owner)
        , handler_(std::move(handler)) {
        auto const executor = asio::get_associated_executor(handler_, home());
        // The client's own context has work as long as the client is not closed; another must be kept from running dry.
        if (!runs_here(executor, home()))
            work_.emplace(executor);
    }

    home_executor home() const noexcept { return owner_.context().get_executor(); }

    static auto rebound(Handler const& handler) noexcept {
        auto const allocator = allocator_of(handler);
        return typename std::allocator_traits<decltype(allocator_of(handler))>::template rebind_alloc<exec_operation>(
            allocator);
    }

    static void finish(operation* base, bool invoke) {
        auto* const self = static_cast<exec_operation*>(base);
        auto slot = asio::get_associated_cancellation_slot(self->handler_);
        if (slot.is_connected())
            slot.clear();
        auto const home = self->home();
        auto const result = self->result;
        auto const work = std::move(self->work_);
        auto allocator = rebound(self->handler_);
        Handler handler(std::move(self->handler_));
        self->~exec_operation();
        std::allocator_traits<decltype(allocator)>::deallocate(allocator, self, 1);
        if (!invoke)
            return;
        if (!work)
            return std::move(handler)(result);
        auto const handler_allocator = allocator_of(handler);
        asio::dispatch(work->get_executor(),
                       asio::bind_allocator(handler_allocator, [handler = std::move(handler), result]() mutable {
                           std::move(handler)(result);
                       }));
    }

    backend& owner_;
    Handler handler_;
    std::optional<asio::executor_work_guard<executor_type>> work_;
};

struct initiate_exec {
    using executor_type = home_executor;
    backend* owner;
    executor_type get_executor() const noexcept { return owner->context().get_executor(); }

    template <class Handler>
    void operator()(Handler&& handler, command const* what, reply_sink* sink, exec_options const& how) const {
        exec_operation<std::decay_t<Handler>>::start(*owner, std::decay_t<Handler>(std::forward<Handler>(handler)),
                                                     [&](operation& self) {
                                                         self.command = what;
                                                         self.sink = sink;
                                                         self.idempotent = how.idempotent;
                                                         self.answered_by = how.answered_by;
                                                         owner->submit(self, how.timeout);
                                                     });
    }
};

struct initiate_wait_open {
    using executor_type = home_executor;
    backend* owner;
    executor_type get_executor() const noexcept { return owner->context().get_executor(); }

    template <class Handler>
    void operator()(Handler&& handler) const {
        exec_operation<std::decay_t<Handler>>::start(*owner, std::decay_t<Handler>(std::forward<Handler>(handler)),
                                                     [&](operation& self) {
                                                         static command const nothing;
                                                         self.command = &nothing;
                                                         owner->wait_open(self);
                                                     });
    }
};

// An operation of another thread. It is shared between the client and the handler's cancellation slot, which live on
// different threads; the handler and its slot are touched where the handler runs, all else on the client's thread.
template <class Handler>
class foreign_exec final : public foreign_operation, public std::enable_shared_from_this<foreign_exec<Handler>> {
public:
    foreign_exec(std::shared_ptr<backend> owner, Handler&& handler)
        : foreign_operation(&foreign_exec::finish)
        , owner_(std::move(owner))
        , handler_(std::move(handler))
        , work_(asio::get_associated_executor(*handler_, owner_->context().get_executor())) {}

    void start() {
        in_pipeline_ = this->shared_from_this();
        auto slot = asio::get_associated_cancellation_slot(*handler_);
        if (slot.is_connected())
            slot.template emplace<canceller>(this->shared_from_this());
        owner_->submit_from_any_thread(*this);
    }

private:
    using executor_type = asio::associated_executor_t<Handler, home_executor>;

    struct canceller {
        explicit canceller(std::shared_ptr<foreign_exec> target) noexcept
            : who(std::move(target)) {}
        void operator()(asio::cancellation_type type) const {
            if (type != asio::cancellation_type::none)
                asio::post(who->owner_->context(), [target = who] {
                    if (!target->submitted())
                        target->cancel_requested = true;
                    else
                        target->owner_->cancel(*target);
                });
        }
        std::shared_ptr<foreign_exec> who;
    };

    static void finish(operation* base, bool invoke) {
        auto self = std::move(static_cast<foreign_exec*>(base)->in_pipeline_);
        if (!invoke)
            return;
        auto const executor = self->work_.get_executor();
        auto const allocator = allocator_of(*self->handler_);
        asio::dispatch(executor, asio::bind_allocator(allocator, [self = std::move(self)] {
                           auto slot = asio::get_associated_cancellation_slot(*self->handler_);
                           if (slot.is_connected())
                               slot.clear();
                           Handler handler(std::move(*self->handler_));
                           self->handler_.reset();
                           auto const work = std::move(self->work_);
                           std::move(handler)(self->result);
                       }));
    }

    std::shared_ptr<backend> owner_;
    std::optional<Handler> handler_;
    asio::executor_work_guard<executor_type> work_;
    std::shared_ptr<foreign_exec> in_pipeline_;
};

struct initiate_foreign_exec {
    using executor_type = home_executor;
    backend* owner;
    executor_type get_executor() const noexcept { return owner->context().get_executor(); }

    template <class Handler>
    void operator()(Handler&& handler, command const* what, reply_sink* sink, exec_options const& how) const {
        using target = foreign_exec<std::decay_t<Handler>>;
        std::decay_t<Handler> owned(std::forward<Handler>(handler));
        auto const allocator = allocator_of(owned);
        auto const self = std::allocate_shared<target>(allocator, owner->shared_from_this(), std::move(owned));
        self->command = what;
        self->sink = sink;
        self->timeout = how.timeout;
        self->idempotent = how.idempotent;
        self->answered_by = how.answered_by;
        self->start();
    }
};

} // namespace weir::redis::detail
