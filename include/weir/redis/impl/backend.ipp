#pragma once

#include <weir/redis/backend.hpp>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace weir::redis::detail {

// "Every operation has a finite deadline."
inline constexpr std::chrono::hours max_timeout{24};

inline pipeline_limits limits_of(client_options const& options) {
    pipeline_limits limits;
    limits.max_queued_operations = std::max<std::size_t>(options.max_queued_operations, 1);
    limits.max_queued_bytes = options.max_queued_bytes;
    limits.max_reply_bytes = options.max_reply_bytes;
    return limits;
}

WEIR_DECL backend::backend(asio::io_context& context, client_options options)
    : context_(context)
    , options_(std::move(options))
    , pipeline_(limits_of(options_), options_.observer)
    , deadline_alarm_(context) {}

WEIR_DECL backend::~backend() {
    while (!completing_.empty()) {
        auto& first = completing_.front();
        completing_.pop_front();
        first.destroy();
    }
    for (auto* each = inbox_.exchange(nullptr); each;)
        std::exchange(each, each->next_in_inbox)->destroy();
}

WEIR_DECL void backend::submit(operation& what, std::chrono::nanoseconds timeout) {
    auto const now = clock::now();
    if (timeout == std::chrono::nanoseconds::zero())
        timeout = options_.timeout;
    what.deadline = now + std::min<std::chrono::nanoseconds>(timeout, max_timeout);
    route(what, now);
}

WEIR_DECL void backend::wait_open(operation& what) {
    auto const now = clock::now();
    what.deadline = now + max_timeout;
    pipeline_.wait_open(what, now);
    schedule();
}

WEIR_DECL void backend::cancel(operation& what) {
    pipeline_.cancel(what);
    schedule();
}

WEIR_DECL void backend::close() {
    if (std::exchange(closed_, true))
        return;
    shut();
    pipeline_.close();
    // Nothing keeps the loop running any more.
    deadline_alarm_.cancel();
    armed_ = false;
    schedule();
}

WEIR_DECL void backend::submit_from_any_thread(foreign_operation& what) {
    auto* head = inbox_.load(std::memory_order_relaxed);
    do
        what.next_in_inbox = head;
    while (!inbox_.compare_exchange_weak(head, &what, std::memory_order_release, std::memory_order_relaxed));
    if (!head)
        asio::post(context_, [self = shared_from_this()] { self->admit_foreign(); });
}

WEIR_DECL void backend::admit_foreign() {
    foreign_operation* in_order = nullptr;
    for (auto* each = inbox_.exchange(nullptr, std::memory_order_acquire); each;) {
        auto* const next = each->next_in_inbox;
        each->next_in_inbox = std::exchange(in_order, each);
        each = next;
    }
    while (in_order) {
        auto& first = *in_order;
        in_order = first.next_in_inbox;
        submit(first, first.timeout);
        if (first.cancel_requested)
            cancel(first);
    }
}

WEIR_DECL std::vector<key_server> backend::key_servers() const {
    auto const only = present_address();
    return only ? std::vector{key_server{only->display(), 0}} : std::vector<key_server>{};
}

WEIR_DECL void backend::schedule() {
    if (turn_scheduled_ || in_turn_)
        return;
    turn_scheduled_ = true;
    asio::post(context_, [self = shared_from_this()] {
        self->turn_scheduled_ = false;
        self->turn();
    });
}

WEIR_DECL void backend::turn() {
    // A handler may throw through here; the rest is completed in another turn.
    struct guard {
        backend& self;
        ~guard() {
            self.in_turn_ = false;
            if (!self.completing_.empty() || self.pipeline_.has_completed())
                self.schedule();
        }
    };
    {
        guard const end{*this};
        in_turn_ = true;
        pipeline_.take_completed(completing_);
        while (!completing_.empty()) {
            auto& first = completing_.front();
            completing_.pop_front();
            first.complete();
        }
    }
    end_turn();
    arm_deadline();
}

WEIR_DECL void backend::arm_deadline() {
    auto const next = pipeline_.next_deadline();
    if (!next || (armed_ && armed_for_ <= *next))
        return;
    armed_ = true;
    armed_for_ = *next;
    deadline_alarm_.set(*next, [self = shared_from_this()](clock::time_point now) {
        self->armed_ = false;
        self->pipeline_.expire(now);
        self->turn();
    });
}

} // namespace weir::redis::detail
