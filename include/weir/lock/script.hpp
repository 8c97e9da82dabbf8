#pragma once

#include <weir/key.hpp>
#include <weir/redis/command.hpp>
#include <weir/redis/reply.hpp>
#include <weir/redis/script.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::lock {

/// lua/lock_acquire.lua, lock_release.lua, lock_extend.lua, lock_break.lua, lock_floor.lua and lock_publish.lua, by
/// which locks are changed.
struct script_set {
    redis::script const* acquire;
    redis::script const* release;
    redis::script const* extend;
    redis::script const* break_open;
    redis::script const* raise_floor;
    redis::script const* publish;
};

/// Those of this version. They live as long as the program.
WEIR_DECL script_set const& production_scripts();
/// The same for `client_options::scripts`, so that they are loaded with the connection.
WEIR_DECL std::vector<redis::script const*> scripts();

/// What one attempt asks for.
struct demand {
    /// 32 lower-case hexadecimal digits, the attempt's own; the first 16 are the instance's, and name its channel.
    std::string token;
    /// Any text, at most `max_who` bytes of it kept, for operators who look who holds a lock.
    std::string who;
    /// How much of `limit` it takes, 1 to `limit`.
    std::uint32_t weight = 1;
    /// 1 to 1'000'000.
    std::uint32_t limit = 1;
    std::chrono::milliseconds lasts{0};
    /// For how long who waits is taken for alive; 0: does not wait.
    std::chrono::milliseconds heartbeat{0};
};

inline constexpr std::size_t max_who = 120;
inline constexpr std::uint32_t max_limit = 1'000'000;

/// The keys of a lock, and the calls about it.
/// Distinct objects: safe; shared objects: unsafe.
class script_calls {
public:
    WEIR_DECL script_calls(std::string_view prefix, std::string_view name, key_layout layout);

    std::string const& key() const noexcept { return holders_; }
    std::string const& queue_key() const noexcept { return queue_; }
    std::string const& result_key() const noexcept { return result_; }

    /// `known_fence`: the highest fence ever seen of this Redis; the next will be above it.
    WEIR_DECL void acquire(redis::command& out, demand const& what, std::uint64_t known_fence,
                           redis::script const& code) const;
    /// Of an attempt that holds the lock. `remember`: for how long requests of it that may still be under way are
    /// refused; 0: there are none.
    WEIR_DECL void release(redis::command& out, demand const& what, std::uint64_t fence,
                           std::chrono::milliseconds remember, redis::script const& code) const;
    /// Of an attempt of which is not known what it came to, or that waits.
    WEIR_DECL void give_up(redis::command& out, demand const& what, std::chrono::milliseconds remember,
                           redis::script const& code) const;
    WEIR_DECL void extend(redis::command& out, demand const& what, std::uint64_t fence,
                          redis::script const& code) const;
    /// Stores `result` for `keep`, if the attempt still holds the lock.
    WEIR_DECL void publish(redis::command& out, demand const& what, std::uint64_t fence, std::string_view result,
                           std::chrono::milliseconds keep, redis::script const& code) const;
    /// So that whatever is granted from now on has a higher fence.
    WEIR_DECL void raise_floor(redis::command& out, std::uint64_t fence, redis::script const& code) const;
    WEIR_DECL void break_open(redis::command& out, std::uint32_t limit, redis::script const& code) const;

private:
    WEIR_DECL redis::command& begin(redis::command& out, redis::script const& code, std::size_t arguments,
                                    std::uint64_t known_fence) const;
    WEIR_DECL static void append_release(redis::command& out, demand const& what, std::chrono::milliseconds remember,
                                         bool unknown);

    std::string holders_, queue_, alive_, gone_, result_, fence_, channel_;
};

/// What somebody holds, as a text by which it can be renewed and given back: a holder's, as the sorted set has it.
struct holding {
    demand what;
    std::uint64_t fence = 0;
};
WEIR_DECL std::string holding_text(demand const& what, std::uint64_t fence);
/// Nothing where the text is none of this version. It is that of one holder alone, whatever `what.limit` was.
WEIR_DECL std::optional<holding> read_holding(std::string_view text);

/// What came of asking.
struct acquire_answer {
    enum class outcome : std::uint8_t { not_held = 0, held = 1, given_up = 2 };
    outcome what = outcome::not_held;
    std::uint64_t fence = 0;
    /// Since the lock was handed to one who waited, by the server's clock.
    std::chrono::microseconds since_offer{0};
    /// How many come before.
    std::uint64_t ahead = 0;
    /// Until the first holder must have renewed; 0: not known.
    std::chrono::microseconds soonest{0};
};

/// Nothing where the reply cannot be that of lua/lock_acquire.lua.
WEIR_DECL std::optional<acquire_answer> read_acquire(redis::int_sink_base const& reply);

/// What an instance is told on its channel.
struct lock_message {
    /// Handed over, or taken away.
    bool offered = true;
    std::string_view token;
    /// What was handed over; 0: that is to be asked for.
    std::uint64_t fence = 0;
    /// How long before that the server had last heard of the attempt.
    std::chrono::microseconds after_last_sign{0};
};
WEIR_DECL std::optional<lock_message> read_message(std::string_view text);

/// A holder, as the sorted set has him; or one who waits.
struct member {
    std::string token;
    std::string who;
    std::uint32_t weight = 0;
    /// 0: one who waits.
    std::uint64_t fence = 0;
};
/// Nothing where the text is no member of this version.
WEIR_DECL std::optional<member> read_holder(std::string_view text);
WEIR_DECL std::optional<member> read_waiter(std::string_view text);

} // namespace weir::lock

#if defined(WEIR_HEADER_ONLY)
#include <weir/lock/impl/script.ipp>
#endif
