#pragma once

#include <weir/circuit/breaker.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/subscriber.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::circuit {
namespace detail {
class registry_state;
struct change_listener;
} // namespace detail

struct registry_options {
    /// Goes before every key and channel.
    std::string key_prefix{};
    /// How often reports and polls go to Redis.
    member_options timing{};
    /// By what name this instance votes; of the fleet no two the same. Empty: one chosen at random.
    std::string instance{};
    /// Told how long after its publication a change arrived here, by the server's clock as its replies tell it.
    std::function<void(std::string_view circuit, std::chrono::microseconds delay)> on_push{};
};

/// Keeps a listener; ends that when it goes. May outlive its registry.
class listening {
public:
    listening() = default;
    listening(listening&&) noexcept = default;
    listening& operator=(listening&& other) noexcept {
        reset();
        what_ = std::move(other.what_);
        return *this;
    }
    ~listening() { reset(); }
    /// The listener is called no more, from this very moment on.
    WEIR_DECL void reset() noexcept;

private:
    friend class registry;
    std::shared_ptr<detail::change_listener> what_;
};

/// The circuits of an instance. Speaks with Redis for all of them: their counts leave in one write every
/// `report_interval`, where there are new ones; the fleet's changes come by push, where there is a subscriber, and by
/// polls behind that. While Redis is away each circuit goes on by what this instance sees.
///
///     weir::circuit::registry circuits{redis, news};
///     auto api = circuits.get("api", {.window_time = 10s, .failure_rate = 0.5, .open_for = 5s});
///
/// The client should have been given `scripts()`, and must outlive the registry, as must the subscriber. The registry
/// keeps `io_context::run` from returning until it is closed or destroyed.
/// Thread safety: distinct objects: safe; shared objects: unsafe, and only on the thread that runs the io_context.
class registry {
public:
    /// Without Redis: each circuit is this process' own.
    WEIR_DECL explicit registry(asio::io_context& context, registry_options options = {});
    /// Changes are learnt from polls and replies alone.
    WEIR_DECL explicit registry(redis::client& client, registry_options options = {});
    WEIR_DECL registry(redis::client& client, redis::subscriber& subscriber, registry_options options = {});
    registry(registry const&) = delete;
    registry& operator=(registry const&) = delete;
    /// As `close`.
    WEIR_DECL ~registry();

    /// The circuit of this name, made where it is not known. Throws `std::invalid_argument` where the settings are out
    /// of range, or it is known with others.
    WEIR_DECL breaker get(std::string_view name, settings how = {});
    /// The circuit of this name is no longer part of the registry: its handles go on by what this process sees, and a
    /// new one may be made under the name, with other settings. Without effect where there is none.
    WEIR_DECL void forget(std::string_view name) noexcept;
    WEIR_DECL std::optional<breaker> find(std::string_view name) const;
    WEIR_DECL std::vector<breaker> all() const;

    /// Calls `listener` for every change of every circuit, until the result goes. It may call back into the registry
    /// and its breakers; what it throws is swallowed.
    using listener = std::function<void(breaker const&, change const&)>;
    [[nodiscard]] WEIR_DECL listening on_change(listener what);

    WEIR_DECL std::string const& instance() const noexcept;

    /// Whether no circuit hears of Redis: each goes on by what this instance sees.
    WEIR_DECL bool redis_away() const noexcept;

    /// Speaks with Redis no more; circuits go on as they last were, by what this instance sees.
    WEIR_DECL void close() noexcept;

private:
    std::shared_ptr<detail::registry_state> state_;
};

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/registry.ipp>
#endif
