#include "config/reader.hpp"

#include <sstream>

namespace weir::config {

void reader::wrong_type(node const& at, std::string_view expected) {
    error(at, "must be " + std::string(expected) + ", not " + std::string(at.type_name()));
}

void reader::add(issue::severity severity, std::size_t offset, std::string message) {
    auto place = position_of(text_, offset);
    issues_.push_back({severity, pointer_, place.line, place.column, std::move(message)});
}

void check_members(reader& in, node const& object, std::vector<field_name> const& fields) {
    std::vector<std::string_view> supported;
    for (auto const& f : fields)
        if (f.supported)
            supported.push_back(f.name);
    for (auto const& m : object.members) {
        auto known = std::find_if(fields.begin(), fields.end(), [&](field_name const& f) { return f.name == m.key; });
        reader::step into(in, m.key);
        if (known == fields.end())
            in.error(m.key_offset, "unknown field" + suggest_name(m.key, supported));
        else if (!known->supported)
            in.error(m.key_offset,
                     "not supported by this version: " +
                         std::string(known->instead.empty() ? "remove it; nothing would enforce it" : known->instead));
    }
    for (auto const& f : fields)
        if (f.required && !find_member(object, f.name))
            in.error(object, missing(f.name));
}

std::string missing(std::string_view field) { return "the field \"" + std::string(field) + "\" is missing"; }

node const* find_member(node const& object, std::string_view key) noexcept {
    for (auto const& m : object.members)
        if (m.key == key)
            return &m.value;
    return nullptr;
}

std::optional<std::string> read_text(reader& in, node const& value, std::string_view expected) {
    if (!value.is_string()) {
        in.wrong_type(value, expected);
        return std::nullopt;
    }
    try {
        return expand_environment(value.scalar.get_ref<std::string const&>());
    } catch (value_error const& e) {
        in.error(value, e.what());
        return std::nullopt;
    }
}

void set_choice(reader& in, node const& value, bool& out, std::string_view no, std::string_view yes) {
    auto const word = read_text(in, value);
    if (!word)
        return;
    if (*word != no && *word != yes)
        return in.error(value, "unknown value \"" + *word + '"' + suggest_name(*word, {no, yes}));
    out = *word == yes;
}

void set_boolean(reader& in, node const& value, bool& out) {
    if (value.kind != node::type::scalar || !value.scalar.is_boolean())
        return in.wrong_type(value, "true or false");
    out = value.scalar.get<bool>();
}

void set_duration(reader& in, node const& value, milliseconds& out, milliseconds least, milliseconds most) {
    if (value.is_number())
        return in.error(value, "must be a duration with its unit, such as \"5s\", not a number");
    auto parsed = read_parsed(in, value, parse_duration);
    if (!parsed)
        return;
    if (*parsed < least || *parsed > most)
        return in.error(value, "must be from " + format_duration(least) + " to " + format_duration(most));
    out = *parsed;
}

std::optional<std::uint64_t> read_number(reader& in, node const& value, std::uint64_t least, std::uint64_t most) {
    std::optional<std::uint64_t> number;
    auto range = "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    if (value.is_string() && value.scalar.get_ref<std::string const&>().find("${") != std::string::npos) {
        number = read_parsed(in, value, parse_whole_number);
        if (!number)
            return number;
    } else if (!value.is_number()) {
        in.wrong_type(value, range);
        return std::nullopt;
    } else if (value.scalar.is_number_unsigned()) {
        number = value.scalar.get<std::uint64_t>();
    }
    if (!number || *number < least || *number > most) {
        in.error(value, "must be " + range);
        return std::nullopt;
    }
    return number;
}

void set_real(reader& in, node const& value, double& out, double least, double most) {
    std::ostringstream range;
    range << "a number from " << least << " to " << most;
    std::optional<double> number;
    if (value.is_string() && value.scalar.get_ref<std::string const&>().find("${") != std::string::npos) {
        number = read_parsed(in, value, parse_real);
        if (!number)
            return;
    } else if (!value.is_number()) {
        return in.wrong_type(value, range.str());
    } else {
        number = value.scalar.get<double>();
    }
    if (!(*number >= least && *number <= most))
        return in.error(value, "must be " + range.str());
    out = *number;
}

std::optional<std::uint64_t> read_size(reader& in, node const& value, std::uint64_t least, std::uint64_t most) {
    auto size = value.is_number() ? read_number(in, value, 0, std::numeric_limits<std::uint64_t>::max())
                                  : read_parsed(in, value, parse_size);
    if (size && (*size < least || *size > most)) {
        in.error(value, "must be from " + format_size(least) + " to " + format_size(most));
        return std::nullopt;
    }
    return size;
}

} // namespace weir::config
