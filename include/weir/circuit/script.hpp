#pragma once

#include <weir/circuit/core.hpp>
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

namespace weir::circuit {

/// lua/circuit_report.lua, circuit_probe.lua and circuit_override.lua, which share parts/circuit_state.lua; loaded by
/// every client that is given `scripts()`. They live as long as the program.
WEIR_DECL redis::script const& report_script();
WEIR_DECL redis::script const& probe_script();
WEIR_DECL redis::script const& override_script();
WEIR_DECL std::vector<redis::script const*> scripts();

/// The reply of any of them.
using script_reply = redis::int_sink<8>;

/// What an instance brings along, so that Redis need not be believed where it forgot.
struct caller {
    /// 0: knows nothing.
    std::uint64_t epoch = 0;
    state believed = state::closed;
    /// At random, 0 to 9999: the jitter of a wait that begins with this call.
    std::uint32_t random = 0;
};

/// One call of lua/circuit_report.lua.
struct report {
    /// None: only asks.
    std::optional<tally> counts;
    /// Too many failures in a row.
    bool run = false;
    /// At most 120 bytes of it are kept.
    std::string_view last_error;
};

/// One call of lua/circuit_probe.lua.
struct probe {
    enum class ask : std::uint8_t { lease = 1, result = 2, give_back = 3 };
    ask what = ask::lease;
    std::uint64_t lease = 0;
    bool failed = false;
    bool slow = false;
};

/// One call of lua/circuit_override.lua.
struct override_request {
    /// None: gives the circuit back to itself.
    std::optional<state> to;
    /// Until it is given back to itself; 0: without end. Of forced_open, disabled and metrics_only.
    std::chrono::milliseconds lasts{0};
    std::string_view who;
    std::string_view why;
};

/// What came of it.
enum class override_result : std::uint8_t { illegal = 0, done = 1, was_so = 2 };

/// Writes the calls about one circuit. Reusable without allocation.
/// Distinct objects: safe; shared objects: unsafe.
class script_calls {
public:
    /// `gather`: after each change, how long reports are gathered before they are judged, so that all instances are
    /// heard; a few intervals of reports. Precondition: `how` is valid.
    WEIR_DECL script_calls(std::string_view prefix, std::string_view service, key_layout layout, settings const& how,
                           std::chrono::milliseconds gather, std::string instance);

    /// The key of the circuit, and its channel.
    std::string const& key() const noexcept { return key_; }
    std::string const& history_key() const noexcept { return history_; }
    std::string const& instance() const noexcept { return instance_; }

    WEIR_DECL void encode(redis::command& out, caller const& who, report const& what,
                          redis::script const& code = report_script()) const;
    WEIR_DECL void encode(redis::command& out, caller const& who, probe const& what,
                          redis::script const& code = probe_script()) const;
    WEIR_DECL void encode(redis::command& out, override_request const& what,
                          redis::script const& code = override_script()) const;

private:
    std::string key_, history_, settings_, instance_;
};

/// A reply read: how the circuit stands, and what the script added.
struct script_answer {
    fleet_view view;
    /// When the script ran, by the server's clock.
    std::chrono::microseconds at{0};
    /// Of a probe: the lease, or 0; of an override: its result.
    std::uint64_t extra = 0;
    std::chrono::microseconds lease_lasts{0};
};

/// Nothing where the reply cannot be one of these scripts'.
WEIR_DECL std::optional<script_answer> read_reply(redis::int_sink_base const& reply);

/// A change as published.
struct change_message {
    fleet_view view;
    /// The epoch before it; of a listener that knows another, something was missed.
    std::uint64_t before = 0;
    std::chrono::microseconds at{0};
};

/// Nothing where the text is not a message of this version.
WEIR_DECL std::optional<change_message> read_message(std::string_view text);

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/script.ipp>
#endif
