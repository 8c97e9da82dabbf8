#pragma once

#include <weir/circuit/script.hpp>
#include <weir/detail/lua_sources.hpp>
#include <weir/detail/packed.hpp>

#include <algorithm>
#include <array>
#include <charconv>

#include <cmath>

namespace weir::circuit {
namespace detail {

using weir::detail::put_integer;

/// The head of the second argument of all the scripts, and room for the rest.
class packed_call {
public:
    explicit packed_call(caller const& who) {
        put<7>(who.epoch);
        put<1>(static_cast<std::uint64_t>(who.believed));
        put<2>(who.random);
    }
    template <std::size_t Bytes>
    void put(std::uint64_t value) noexcept {
        // What does not fit is as much as fits.
        constexpr auto most = (std::uint64_t{1} << (8 * Bytes)) - 1;
        end_ = put_integer<Bytes>(end_, std::min(value, most));
    }
    std::string_view text() const noexcept { return {bytes_.data(), static_cast<std::size_t>(end_ - bytes_.data())}; }

private:
    std::array<char, 48> bytes_;
    char* end_ = bytes_.data();
};

inline std::string pack(settings const& how, std::chrono::milliseconds gather) {
    std::array<char, 72> bytes;
    auto const ms = [](std::chrono::milliseconds t) { return static_cast<std::uint64_t>(t.count()); };
    // What an instance last told counts for a time window as long as that is; of a count window, for a minute.
    auto const fresh = how.window == window_kind::time ? how.window_time : std::chrono::minutes{1};
    auto* end = bytes.data();
    end = put_integer<6>(end, ms(fresh) * 1000);
    end = put_integer<4>(end, how.minimum());
    end = put_integer<4>(end, millionths(how.failure_rate));
    end = put_integer<4>(end, millionths(how.slow_rate));
    end = put_integer<4>(end, how.trip_quorum);
    end = put_integer<2>(end, how.half_open_calls);
    end = put_integer<2>(end, how.probes_needed());
    end = put_integer<5>(end, ms(how.half_open_for));
    end = put_integer<5>(end, ms(how.probe_timeout));
    end = put_integer<5>(end, ms(how.open_for));
    end = put_integer<4>(end, static_cast<std::uint64_t>(std::llround(how.open_backoff * 1000)));
    end = put_integer<5>(end, ms(how.open_max));
    end = put_integer<2>(end, static_cast<std::uint64_t>(std::llround(how.jitter * 10000)));
    end = put_integer<5>(end, ms(how.healthy_for));
    end = put_integer<5>(end, ms(how.ramp_step));
    end = put_integer<4>(end, ms(gather));
    std::string packed(bytes.data(), end);
    packed.append(how.ramp.begin(), how.ramp.end());
    return packed;
}

inline std::optional<fleet_view> view_of(std::int64_t now, std::int64_t epoch, std::int64_t remaining,
                                         std::int64_t share, std::int64_t why) {
    if (now < 0 || now >= state_count || epoch < 0 || share < 0 || share > 100 || why < 0 || why >= reason_count)
        return std::nullopt;
    return fleet_view{static_cast<std::uint64_t>(epoch), static_cast<state>(now), static_cast<reason>(why),
                      std::chrono::microseconds{remaining}, static_cast<std::uint8_t>(share)};
}

} // namespace detail

WEIR_DECL redis::script const& report_script() {
    static redis::script const instance{"circuit_report", lua::circuit_report};
    return instance;
}

WEIR_DECL redis::script const& probe_script() {
    static redis::script const instance{"circuit_probe", lua::circuit_probe};
    return instance;
}

WEIR_DECL redis::script const& override_script() {
    static redis::script const instance{"circuit_override", lua::circuit_override};
    return instance;
}

WEIR_DECL std::vector<redis::script const*> scripts() {
    return {&report_script(), &probe_script(), &override_script()};
}

WEIR_DECL script_calls::script_calls(std::string_view prefix, std::string_view service, key_layout layout,
                                     settings const& how, std::chrono::milliseconds gather, std::string instance)
    : settings_(detail::pack(how, gather))
    , instance_(std::move(instance)) {
    append_circuit_key(key_, prefix, service, layout);
    append_circuit_history_key(history_, prefix, service, layout);
}

WEIR_DECL void script_calls::encode(redis::command& out, caller const& who, report const& what,
                                    redis::script const& code) const {
    detail::packed_call packed(who);
    auto const counts = what.counts.value_or(tally{});
    packed.put<1>(what.counts ? 1 : 0);
    packed.put<6>(counts.calls);
    packed.put<6>(counts.failures);
    packed.put<6>(counts.slow);
    packed.put<1>(what.run ? 1 : 0);
    out.clear().evalsha(code, 2, 4).arg(key_).arg(history_).arg(settings_).arg(packed.text()).arg(instance_);
    out.arg(what.last_error);
}

WEIR_DECL void script_calls::encode(redis::command& out, caller const& who, probe const& what,
                                    redis::script const& code) const {
    detail::packed_call packed(who);
    packed.put<1>(static_cast<std::uint64_t>(what.what));
    packed.put<6>(what.lease);
    packed.put<1>((what.failed ? 1u : 0u) + (what.slow ? 2u : 0u));
    out.clear().evalsha(code, 2, 3).arg(key_).arg(history_).arg(settings_).arg(packed.text()).arg(instance_);
}

WEIR_DECL void script_calls::encode(redis::command& out, override_request const& what,
                                    redis::script const& code) const {
    detail::packed_call packed(caller{});
    packed.put<1>(what.to ? static_cast<std::uint64_t>(*what.to) : state_count);
    packed.put<6>(static_cast<std::uint64_t>(std::max<std::int64_t>(what.lasts.count(), 0)));
    out.clear().evalsha(code, 2, 4).arg(key_).arg(history_).arg(settings_).arg(packed.text());
    out.arg(what.who).arg(what.why);
}

WEIR_DECL std::optional<script_answer> read_reply(redis::int_sink_base const& reply) {
    if (reply.size() < 6)
        return std::nullopt;
    auto const view = detail::view_of(reply[0], reply[1], reply[2], reply[3], reply[4]);
    if (!view)
        return std::nullopt;
    script_answer answer{*view, std::chrono::microseconds{reply[5]}};
    if (reply.size() > 6)
        answer.extra = static_cast<std::uint64_t>(reply[6]);
    if (reply.size() > 7)
        answer.lease_lasts = std::chrono::microseconds{reply[7]};
    return answer;
}

WEIR_DECL std::optional<change_message> read_message(std::string_view text) {
    std::array<std::int64_t, 8> numbers;
    auto const* from = text.data();
    auto const* const end = from + text.size();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (i > 0 && (from == end || *from++ != ' '))
            return std::nullopt;
        auto const [stop, ec] = std::from_chars(from, end, numbers[i]);
        if (ec != std::errc{})
            return std::nullopt;
        from = stop;
    }
    auto const [version, epoch, before, now, remaining, share, why, at] = numbers;
    auto const view = detail::view_of(now, epoch, remaining, share, why);
    if (version != 1 || before < 0 || !view || from != end)
        return std::nullopt;
    return change_message{*view, static_cast<std::uint64_t>(before), std::chrono::microseconds{at}};
}

} // namespace weir::circuit
