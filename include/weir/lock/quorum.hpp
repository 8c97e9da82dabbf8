#pragma once

#include <weir/lock/manager.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir::lock {
namespace detail {
class quorum_state;
} // namespace detail

struct quorum_options {
    /// Goes before every key.
    std::string key_prefix{};
    /// For operators; empty: the name of the machine and the number of the process.
    std::string who{};
    /// How long one master may take to answer, so that one that hangs costs no more; 0: a twentieth of the ttl, 5 to
    /// 200 ms.
    std::chrono::milliseconds node_timeout{0};
};

/// Locks over several independent Redis masters (Redlock, redis.io/docs/manual/patterns/distributed-locks): held where
/// more than half of them granted it in time, so that the loss of a minority, with all it knew, takes no lock and gives
/// none away.
///
/// All masters are asked at once; a round that failed is cleaned up on all of them before the next. The fence is the
/// highest that any of them gave, and counts only once more than half know of it; every other that answers is told,
/// too. So fences grow without trust in any clock, also where a minority forgets all. What that leaves: a master that
/// was out of reach for the last fences, and makes up a majority with those that forgot them.
///
/// Who waits asks again after pauses at random: there is no queue over several masters.
///
/// Each client should have been given `scripts()`; they must run on the same io_context and outlive this object.
/// Thread safety: distinct objects: safe; shared objects: unsafe, and only on the thread that runs the io_context.
class quorum {
public:
    /// Throws `std::invalid_argument` where there are no masters, or a null among them.
    WEIR_DECL explicit quorum(std::vector<redis::client*> masters, quorum_options options = {});
    quorum(quorum const&) = delete;
    quorum& operator=(quorum const&) = delete;
    /// As `close`.
    WEIR_DECL ~quorum();

    /// As `manager::async_lock`; further errors: `errc::lock_not_durable`, fewer than a majority could be reached.
    /// Of the options `durable`, `replicas`, `heartbeat` and `owner` have no meaning here.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_lock(std::string_view name, lock_options const& options, Token&& token) {
        return detail::async_lock_from(*source_, std::string(name), portion{}, options, std::forward<Token>(token));
    }

    /// Attempts and leases under way, those being cleaned up included.
    WEIR_DECL std::size_t live() const noexcept;

    /// As `manager::close`.
    WEIR_DECL void close() noexcept;

private:
    std::shared_ptr<detail::quorum_state> state_;
    // The same, as far as templates need it.
    detail::lock_source* source_;
};

} // namespace weir::lock

#if defined(WEIR_HEADER_ONLY)
#include <weir/lock/impl/quorum.ipp>
#endif
