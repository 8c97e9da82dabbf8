#include "config/limit_fields.hpp"

namespace weir::config {
namespace {

/// The most refusals that a penalty counts.
constexpr std::uint64_t max_after = 1'000'000;

constexpr milliseconds longest_window = std::chrono::duration_cast<milliseconds>(max_window);

void read_per(reader& in, node const& v, limit& out) {
    out.per.clear();
    read_array(in, v, 1, [&](node const& element, std::size_t) {
        auto part = read_parsed(in, element, parse_per);
        if (!part)
            return;
        for (auto const& other : out.per) {
            if (format_per(other) == format_per(*part))
                return in.error(element, "is there already");
            if (part->from == per_part::type::everyone || other.from == per_part::type::everyone)
                return in.error(element, "\"*\" means everybody together and stands alone");
        }
        out.per.push_back(std::move(*part));
    });
}

void read_plain_cost(reader& in, node const& v, limit& out) {
    if (v.is_number())
        return set_number(in, v, out.cost, 1, max_cost);
    auto text = read_text(in, v, "a whole number or \"header:NAME\"");
    if (!text)
        return;
    try {
        if (text->starts_with("header:"))
            out.cost_header = parse_field_name(std::string_view(*text).substr(7));
        else if (text->starts_with("response:"))
            in.error(v, "what the response says is reserved before: write {\"reserve\": N, \"settle\": \"" + *text +
                            "\"}");
        else if (out.cost = parse_whole_number(*text); out.cost < 1 || out.cost > max_cost)
            in.error(v, "must be a whole number from 1 to " + std::to_string(max_cost));
    } catch (value_error const&) {
        in.error(v, "must be a whole number or \"header:NAME\", not \"" + *text + "\"");
    }
}

constexpr std::array cost_fields{
    field<limit>{"reserve", read_plain_cost, presence::required},
    field<limit>{"settle",
                 [](reader& in, node const& v, limit& out) {
                     if (auto pointer = read_parsed(in, v, parse_settle))
                         out.settle = std::move(*pointer);
                 },
                 presence::required},
};

void read_cost(reader& in, node const& v, limit& out) {
    if (v.is_object())
        return read_object(in, v, out, cost_fields);
    read_plain_cost(in, v, out);
}

template <auto Member, class Out>
void read_units(reader& in, node const& v, Out& out, std::uint64_t least) {
    if (auto number = read_number(in, v, least, max_limit))
        out.*Member = *number;
}

constexpr std::array override_fields{
    field<rule_override>{"limit", [](reader& in, node const& v,
                                     rule_override& out) { read_units<&rule_override::limit>(in, v, out, 0); }},
    field<rule_override>{"window",
                         [](reader& in, node const& v, rule_override& out) {
                             set_duration(in, v, out.window.emplace(min_window), min_window, longest_window);
                         }},
    field<rule_override>{"burst", [](reader& in, node const& v,
                                     rule_override& out) { read_units<&rule_override::burst>(in, v, out, 1); }},
};

void read_override(reader& in, node const& v, rule_override& out) {
    if (!v.is_object())
        return read_units<&rule_override::limit>(in, v, out, 0);
    read_object(in, v, out, override_fields);
    if (v.members.empty())
        in.error(v, "says nothing: write a limit, or an object with limit, window or burst");
}

void read_overrides(reader& in, node const& v, limit& out) {
    if (!v.is_object())
        return in.wrong_type(v, "an object of users, {\"alice\": 500}");
    for (auto const& m : v.members) {
        reader::step into(in, m.key);
        if (m.key.empty())
            in.error(m.key_offset, "no user has an empty name");
        read_override(in, m.value, out.rule.overrides[m.key]);
    }
}

template <auto List>
void read_users(reader& in, node const& v, limit& out) {
    read_array(in, v, 0, [&](node const& element, std::size_t) {
        auto user = read_text(in, element);
        if (!user)
            return;
        if (user->empty())
            return in.error(element, "no user has an empty name");
        if (!(out.rule.*List).insert(*user).second)
            in.error(element, "is there already");
    });
}

constexpr std::array penalty_fields{
    field<penalty_terms>{
        "after", [](reader& in, node const& v, penalty_terms& out) { set_number(in, v, out.after, 1, max_after); },
        presence::required},
    field<penalty_terms>{"block",
                         [](reader& in, node const& v, penalty_terms& out) {
                             set_duration(in, v, out.block, min_window, longest_window);
                         },
                         presence::required},
};

void read_penalty(reader& in, node const& v, limit& out) {
    out.rule.penalty.block = min_window; // what cannot be read is complained of once
    read_object(in, v, out.rule.penalty, penalty_fields);
}

constexpr std::array limit_fields{
    field<limit>{"per", read_per},
    field<limit>{"endpoint",
                 [](reader& in, node const& v, limit& out) { set_parsed(in, v, out.endpoint, parse_endpoint_scope); }},
    field<limit>{"algorithm",
                 [](reader& in, node const& v, limit& out) { set_parsed(in, v, out.rule.algorithm, parse_algorithm); }},
    field<limit>{"limit",
                 [](reader& in, node const& v, limit& out) { set_number(in, v, out.rule.limit, 0, max_limit); },
                 presence::required},
    field<limit>{
        "window",
        [](reader& in, node const& v, limit& out) { set_duration(in, v, out.rule.window, min_window, longest_window); },
        presence::required},
    field<limit>{"burst",
                 [](reader& in, node const& v, limit& out) { read_units<&weir::rule::burst>(in, v, out.rule, 1); }},
    field<limit>{"lease", [](reader& in, node const& v,
                             limit& out) { set_duration(in, v, out.rule.lease, min_window, longest_window); }},
    field<limit>{"wait", [](reader& in, node const& v,
                            limit& out) { set_duration(in, v, out.rule.max_wait, milliseconds{0}, longest_window); }},
    field<limit>{"cost", read_cost},
    field<limit>{"on_redis_failure",
                 [](reader& in, node const& v, limit& out) {
                     set_parsed(in, v, out.rule.on_redis_failure, parse_on_redis_failure);
                 }},
    field<limit>{"shadow", [](reader& in, node const& v, limit& out) { set_boolean(in, v, out.rule.shadow); }},
    field<limit>{"penalty", read_penalty},
    field<limit>{"overrides", read_overrides},
    field<limit>{"allow", read_users<&weir::rule::allow>},
    field<limit>{"deny", read_users<&weir::rule::deny>},
};

} // namespace

void read_limit(reader& in, node const& value, limit& out) { read_object(in, value, out, limit_fields); }

std::vector<object_fields> describe_limit_fields() {
    return {describe("limit", limit_fields), describe("cost", cost_fields), describe("override", override_fields),
            describe("penalty", penalty_fields)};
}

} // namespace weir::config
