#include "config/upstream_fields.hpp"

namespace weir::config {
namespace {

using std::chrono::hours;

template <milliseconds upstream::*Member>
void read_upstream_timeout(reader& in, node const& v, upstream& out) {
    set_duration(in, v, out.*Member, milliseconds{1}, hours{24});
}

constexpr std::array timeout_fields{
    field<upstream>{"connect", read_upstream_timeout<&upstream::connect_timeout>},
    field<upstream>{"first_byte", read_upstream_timeout<&upstream::first_byte_timeout>},
    field<upstream>{"idle", read_upstream_timeout<&upstream::idle_timeout>},
    field<upstream>{"total"},
    field<upstream>{"per_try"},
};

void read_targets(reader& in, node const& v, upstream& out) {
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        auto parsed = read_parsed(in, element, parse_target);
        if (!parsed)
            return;
        for (auto const& other : out.targets)
            if (other.host == parsed->host && other.port == parsed->port)
                return in.error(element, "\"" + parsed->text + "\" is there already");
        out.targets.push_back(std::move(*parsed));
    });
}

void read_balance(reader& in, node const& v, upstream&) {
    auto name = read_text(in, v);
    if (!name || *name == "round_robin")
        return;
    for (std::string_view later : {"least_request", "consistent_hash"})
        if (*name == later)
            return in.error(v, "\"" + *name + "\" is not supported by this version: only \"round_robin\" is");
    in.error(v, "unknown value \"" + *name + "\"" + suggest_name(*name, {"round_robin"}));
}

/// An upstream under construction and what it may refer to.
struct draft {
    upstream& value;
    config const& whole;
};

template <std::optional<std::size_t> upstream::*Member>
void read_circuit_name(reader& in, node const& v, draft& out) {
    out.value.*Member = read_reference(in, v, "circuit", out.whole.circuits,
                                       [](circuit_breaker const& c) -> std::string_view { return c.name; });
}

/// A field that concerns the upstream alone.
template <auto Read>
void read_own(reader& in, node const& v, draft& out) {
    Read(in, v, out.value);
}

void read_timeouts(reader& in, node const& v, upstream& out) { read_object(in, v, out, timeout_fields); }

constexpr std::array upstream_fields{
    field<draft>{"targets", read_own<read_targets>, presence::required},
    field<draft>{"timeouts", read_own<read_timeouts>},
    field<draft>{"balance", read_own<read_balance>},
    field<draft>{"circuit", read_circuit_name<&upstream::circuit>},
    field<draft>{"retries"},
    field<draft>{"health"},
    field<draft>{"tls"},
};

} // namespace

void read_upstream(reader& in, node const& value, config const& whole, upstream& out) {
    draft made{out, whole};
    read_object(in, value, made, upstream_fields);
}

std::vector<object_fields> describe_upstream_fields() {
    return {describe("upstream", upstream_fields), describe("timeouts", timeout_fields)};
}

} // namespace weir::config
