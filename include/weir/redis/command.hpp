#pragma once

#include <weir/redis/script.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::redis {

/// One Redis command in the bytes of the protocol (RESP2, "Sending commands to a Redis server"), reusable: `clear()`
/// keeps the memory.
///
///     command set("SET", "key", 1);
///     command take;
///     take.clear().evalsha(my_script, 1, 2).arg("key").arg(10).arg(20);
///
/// A client sends what was given to it and pairs each command with exactly one reply; commands that change that
/// (SUBSCRIBE, MONITOR, CLIENT REPLY, HELLO 3) must not be sent through it.
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class command {
public:
    command() = default;

    /// A whole command: its name and its arguments, each text or an integer.
    template <class... Args>
    explicit command(std::string_view name, Args const&... args) {
        start(1 + sizeof...(args)).arg(name);
        (arg(args), ...);
    }

    /// Empties the command and keeps its memory.
    WEIR_DECL command& clear() noexcept;

    /// Begins a command of `argument_count` parts, its name being the first; as many `arg()` must follow.
    /// Precondition: the command is empty.
    WEIR_DECL command& start(std::size_t argument_count);

    /// Adds one part, of any bytes.
    WEIR_DECL command& arg(std::string_view text);
    /// Adds one part: the integer in decimal.
    template <std::integral Integer>
    command& arg(Integer value) {
        if constexpr (std::signed_integral<Integer>)
            return arg_signed(value);
        else
            return arg_unsigned(value);
    }

    /// Adds one part that is a key, by which a cluster knows where the command goes. All keys of a command must follow
    /// each other directly, and live in one slot.
    WEIR_DECL command& key(std::string_view text);

    /// Of a command without keys: a cluster sends it to the node that owns `slot`, instead of to any; elsewhere it
    /// makes no difference. For what each node has to be asked: see `client::key_servers`. Precondition: `slot` <
    /// 16384.
    WEIR_DECL command& at_slot(std::uint16_t slot);

    /// Begins an EVALSHA of `code` with as many keys and further arguments, which follow by `arg()`, keys first. The
    /// client loads the script where the server does not know it.
    /// Preconditions: the command is empty; `code` outlives the use of the command.
    WEIR_DECL command& evalsha(redis::script const& code, std::size_t key_count, std::size_t arg_count);

    /// The bytes to send.
    std::string_view payload() const noexcept { return payload_; }
    /// Whether a command was begun and all its parts are there; an incomplete one is refused by the client.
    bool complete() const noexcept { return missing_ == 0 && !payload_.empty(); }
    /// How many of its parts are known to be keys: those of `evalsha()` and of `key()`.
    std::size_t key_count() const noexcept { return keys_; }
    /// Whether a cluster has but one node for it: it has a key, or was given its slot.
    bool has_slot() const noexcept { return keys_ != 0 || given_slot_ != no_slot; }
    /// The slot of its keys; none where they live in different ones. Without keys the slot it was given. Precondition:
    /// it is complete and `has_slot()`.
    WEIR_DECL std::optional<std::uint16_t> slot() const noexcept;

    /// The script of an EVALSHA begun by `evalsha()`, or none.
    redis::script const* evaluated() const noexcept { return script_; }

private:
    WEIR_DECL command& arg_signed(std::int64_t value);
    WEIR_DECL command& arg_unsigned(std::uint64_t value);

    std::string payload_;
    std::size_t missing_ = 0;
    std::size_t keys_ = 0;
    // Where the first of them begins.
    std::size_t first_key_ = 0;
    static constexpr std::uint16_t no_slot = 0xffff;
    std::uint16_t given_slot_ = no_slot;
    redis::script const* script_ = nullptr;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/command.ipp>
#endif
