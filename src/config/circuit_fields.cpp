#include "config/circuit_fields.hpp"

namespace weir::config {
namespace {

using circuit::settings;
using circuit::window_kind;

constexpr milliseconds none{0};
constexpr milliseconds shortest{1};

template <milliseconds settings::*Member>
void read_time(reader& in, node const& v, settings& out) {
    set_duration(in, v, out.*Member, shortest, circuit::longest);
}

/// The smallest share that is told from none.
constexpr double least_share = 1e-6;

/// A time, or a number of calls.
void read_window(reader& in, node const& v, settings& out) {
    if (v.is_number()) {
        out.window = window_kind::count;
        return set_number(in, v, out.window_calls, 1, 100'000);
    }
    if (!v.is_string())
        return in.wrong_type(v, "a duration, or a whole number of calls");
    set_duration(in, v, out.window_time, milliseconds{10}, circuit::longest);
}

void read_ramp(reader& in, node const& v, settings& out) {
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        auto const share = read_number(in, element, 1, 99);
        if (share && !out.ramp.empty() && *share <= out.ramp.back())
            return in.error(element, "must be larger than the share before it");
        if (share)
            out.ramp.push_back(static_cast<std::uint8_t>(*share));
    });
    if (out.ramp.size() > 8)
        in.error(v, "at most 8 shares");
}

constexpr std::array circuit_fields{
    field<settings>{"window", read_window},
    field<settings>{"minimum_calls", [](reader& in, node const& v,
                                        settings& out) { set_number(in, v, out.minimum_calls, 1, 1'000'000'000); }},
    field<settings>{"failure_rate", [](reader& in, node const& v,
                                       settings& out) { set_real(in, v, out.failure_rate, least_share, 1); }},
    field<settings>{"slow_call", [](reader& in, node const& v,
                                    settings& out) { set_duration(in, v, out.slow_call, none, circuit::longest); }},
    field<settings>{"slow_rate",
                    [](reader& in, node const& v, settings& out) { set_real(in, v, out.slow_rate, least_share, 1); }},
    field<settings>{"consecutive_failures",
                    [](reader& in, node const& v, settings& out) {
                        set_number(in, v, out.consecutive_failures, 0, 1'000'000'000);
                    }},
    field<settings>{"open_for", read_time<&settings::open_for>},
    field<settings>{"open_backoff",
                    [](reader& in, node const& v, settings& out) { set_real(in, v, out.open_backoff, 1, 100); }},
    field<settings>{"open_max", read_time<&settings::open_max>},
    field<settings>{"jitter", [](reader& in, node const& v, settings& out) { set_real(in, v, out.jitter, 0, 1); }},
    field<settings>{"healthy_for", [](reader& in, node const& v,
                                      settings& out) { set_duration(in, v, out.healthy_for, none, circuit::longest); }},
    field<settings>{"half_open_calls",
                    [](reader& in, node const& v, settings& out) { set_number(in, v, out.half_open_calls, 1, 1000); }},
    field<settings>{"half_open_for", read_time<&settings::half_open_for>},
    field<settings>{"probe_timeout", read_time<&settings::probe_timeout>},
    field<settings>{"ramp", read_ramp},
    field<settings>{"ramp_step", read_time<&settings::ramp_step>},
    field<settings>{"trip_quorum",
                    [](reader& in, node const& v, settings& out) { set_number(in, v, out.trip_quorum, 0, 1'000'000); }},
};

/// What the fields say together.
void check_circuit(reader& in, node const& v, settings& out) {
    auto const given = [&](std::string_view name) { return find_member(v, name); };
    auto const complain = [&](std::string_view name, std::string text) {
        reader::step into(in, name);
        in.error(*given(name), std::move(text));
    };
    if (given("slow_rate") && out.slow_call == none)
        complain("slow_rate", "says nothing without \"slow_call\": the time above which a call is slow");
    if (given("ramp_step") && out.ramp.empty())
        complain("ramp_step", "says nothing without \"ramp\": the shares of the traffic, such as [1, 10, 50]");
    if (out.window == window_kind::count && given("minimum_calls") && out.minimum_calls > out.window_calls)
        complain("minimum_calls", "more than the window of " + std::to_string(out.window_calls) + " calls can hold");
    if (out.open_max < out.open_for) {
        if (given("open_max"))
            return complain("open_max", "less than open_for (" + format_duration(out.open_for) + ')');
        out.open_max = out.open_for;
    }
}

} // namespace

void read_circuit(reader& in, node const& value, circuit_breaker& out) {
    read_object(in, value, out.how, circuit_fields);
    if (value.is_object())
        check_circuit(in, value, out.how);
}

std::vector<object_fields> describe_circuit_fields() { return {describe("circuit", circuit_fields)}; }

} // namespace weir::config
