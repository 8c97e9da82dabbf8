#pragma once

#include "proxy/client_stream.hpp"
#include "proxy/io.hpp"
#include "proxy/upstream_pool.hpp"

#include <weir/lock/lease.hpp>

#include <boost/asio/cancellation_signal.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::proxy {

/// The field by which an upstream learns the fence of the lock that its request holds; a client's own never reaches it.
inline constexpr std::string_view fence_field = "X-Weir-Fence";

/// The lock of one request: from the asking for it until it is given back, lost, or its request has ended.
///
/// Belongs to its exchange, and to the worker's thread.
class lock_hold final : public client_stream::leave_listener {
public:
    /// `name`: what the configuration calls the lock; must outlive the object.
    explicit lock_hold(std::string_view name) noexcept
        : name_(name) {}
    lock_hold(lock_hold const&) = delete;
    lock_hold& operator=(lock_hold const&) = delete;
    ~lock_hold() = default;

    std::string_view name() const noexcept { return name_; }
    /// 0: it was not obtained.
    std::uint64_t fence() const noexcept { return fence_; }
    /// From the asking for it to its grant, or to the end of waiting.
    std::chrono::nanoseconds waited() const noexcept { return waited_; }
    void set_waited(std::chrono::nanoseconds time) noexcept { waited_ = time; }
    /// It is another's, or may be soon, though its request has not ended.
    bool lost() const noexcept { return lost_; }
    /// What the head sent to the upstream says of it: complete lines.
    std::string_view fields() const noexcept { return fields_; }

    /// Where its waiting is to be cancelled.
    asio::cancellation_slot slot() noexcept { return stop_.slot(); }
    /// Ends waiting, if it waits.
    void on_client_left() override { stop_.emit(asio::cancellation_type::terminal); }

    /// It is held. Where it is lost, what goes on over `call` is broken off; the handle must outlive the object.
    void take(lock::lease lease, upstream_handle& call);

    /// Gives it back, if it is held, and returns when Redis has heard of it, or has not for its timeout.
    awaitable<void> give_back();
    /// The same without waiting.
    void release() noexcept { lease_.release(); }

private:
    void on_lost(upstream_handle& call) noexcept;

    std::string_view name_;
    lock::lease lease_;
    asio::cancellation_signal stop_;
    std::string fields_;
    std::uint64_t fence_ = 0;
    std::chrono::nanoseconds waited_{0};
    bool lost_ = false;
};

} // namespace weir::proxy
