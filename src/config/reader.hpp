#pragma once

#include "config/json_tree.hpp"
#include "config/load.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

/// The machinery under the tables of fields.cpp: walks a JSON tree, fills structures, and collects every complaint
/// instead of stopping at the first.
namespace weir::config {

/// Collects complaints and knows the JSON pointer of what is being read. Thread safety: shared objects unsafe.
class reader {
public:
    explicit reader(std::string_view text)
        : text_(text) {}

    void error(std::size_t offset, std::string message) { add(issue::severity::error, offset, std::move(message)); }
    void error(node const& at, std::string message) { error(at.offset, std::move(message)); }
    void warning(node const& at, std::string message) { add(issue::severity::warning, at.offset, std::move(message)); }
    /// "must be <expected>, not a string".
    void wrong_type(node const& at, std::string_view expected);

    /// A step down the tree for as long as the object lives.
    class step {
    public:
        step(reader& in, std::string_view key)
            : in_(in)
            , before_(in.pointer_.size()) {
            in.pointer_ += pointer_step(key);
        }
        step(reader& in, std::size_t index)
            : step(in, std::to_string(index)) {}
        ~step() { in_.pointer_.resize(before_); }
        step(step const&) = delete;
        step& operator=(step const&) = delete;

    private:
        reader& in_;
        std::size_t before_;
    };

    /// What was found so far.
    std::vector<issue> take_issues() { return std::move(issues_); }

private:
    void add(issue::severity severity, std::size_t offset, std::string message);

    std::string_view text_;
    std::string pointer_;
    std::vector<issue> issues_;
};

/// Whether a field must be there.
enum class presence { optional, required };

/// One field of an object that fills a `T`.
template <class T>
struct field {
    std::string_view name;
    /// Null: known by name, and refused, because this version does nothing for it.
    void (*read)(reader&, node const&, T&) = nullptr;
    presence needed = presence::optional;
    /// For a refused field: what to do instead.
    std::string_view instead = {};
};

/// What `check_members` needs to know of a field, whatever it fills.
struct field_name {
    std::string_view name;
    bool supported;
    bool required;
    std::string_view instead;
};

/// The table without its functions.
template <class T, std::size_t N>
std::vector<field_name> names_of(std::array<field<T>, N> const& fields) {
    std::vector<field_name> names;
    names.reserve(N);
    for (auto const& f : fields)
        names.push_back({f.name, f.read != nullptr, f.needed == presence::required, f.instead});
    return names;
}

/// Complains of members that are unknown or refused, and of required ones that are absent.
void check_members(reader& in, node const& object, std::vector<field_name> const& fields);

/// The complaint about a field that is absent.
std::string missing(std::string_view field);

/// The member of that name, or null.
node const* find_member(node const& object, std::string_view key) noexcept;

/// Fills `out` from an object by its table, in the order of the table.
template <class T, std::size_t N>
void read_object(reader& in, node const& value, T& out, std::array<field<T>, N> const& fields) {
    if (!value.is_object())
        return in.wrong_type(value, "an object");
    check_members(in, value, names_of(fields));
    for (auto const& f : fields) {
        auto const* found = f.read ? find_member(value, f.name) : nullptr;
        if (!found)
            continue;
        reader::step into(in, f.name);
        f.read(in, *found, out);
    }
}

/// The table as others see it: what is read, and what must be there.
template <class T, std::size_t N>
object_fields describe(std::string_view definition, std::array<field<T>, N> const& fields) {
    object_fields described{definition, {}, {}};
    for (auto const& f : fields) {
        if (f.read)
            described.fields.push_back(f.name);
        if (f.needed == presence::required)
            described.required.push_back(f.name);
    }
    return described;
}

/// Calls `read(element, index)` for each element of an array of at least `least`.
template <class Read>
void read_array(reader& in, node const& value, std::size_t least, Read read) {
    if (!value.is_array())
        return in.wrong_type(value, "an array");
    if (value.elements.size() < least)
        in.error(value, "must not be empty");
    for (std::size_t i = 0; i < value.elements.size(); ++i) {
        reader::step into(in, i);
        read(value.elements[i], i);
    }
}

/// Calls `read(member)` for each member of an object whose keys are names chosen by the user.
template <class Read>
void read_map(reader& in, node const& value, Read read) {
    if (!value.is_object())
        return in.wrong_type(value, "an object");
    for (auto const& m : value.members) {
        reader::step into(in, m.key);
        try {
            parse_name(m.key);
        } catch (value_error const& e) {
            in.error(m.key_offset, e.what());
        }
        read(m);
    }
}

/// The text of a string with its environment variables put in, or nothing after a complaint.
std::optional<std::string> read_text(reader& in, node const& value, std::string_view expected = "a string");

/// `parse(text)` of a string, or nothing after a complaint.
template <class Parse>
auto read_parsed(reader& in, node const& value, Parse parse)
    -> std::optional<std::decay_t<decltype(parse(std::string_view{}))>> {
    auto text = read_text(in, value);
    if (!text)
        return std::nullopt;
    try {
        return parse(*text);
    } catch (value_error const& e) {
        in.error(value, e.what());
        return std::nullopt;
    }
}

/// Sets `out` to `parse(text)`, or leaves it after a complaint.
template <class T, class Parse>
void set_parsed(reader& in, node const& value, T& out, Parse parse) {
    if (auto parsed = read_parsed(in, value, parse))
        out = std::move(*parsed);
}

/// Sets a member to the name of a file, which is not looked at here.
template <auto Member, class T>
void read_file_name(reader& in, node const& value, T& out) {
    auto text = read_text(in, value);
    if (text && text->empty())
        return in.error(value, "must be the name of a file");
    if (text)
        out.*Member = std::move(*text);
}

/// Sets `out` by one of two words: false by the first, true by the second.
void set_choice(reader& in, node const& value, bool& out, std::string_view no, std::string_view yes);

/// Sets `out` to true or false.
void set_boolean(reader& in, node const& value, bool& out);

/// Sets `out` to a duration from `least` to `most`.
void set_duration(reader& in, node const& value, milliseconds& out, milliseconds least, milliseconds most);

/// A whole number (a JSON number, or a string with `${...}` in it) from `least` to `most`, or nothing after a
/// complaint.
std::optional<std::uint64_t> read_number(reader& in, node const& value, std::uint64_t least, std::uint64_t most);

template <class T>
void set_number(reader& in, node const& value, T& out, std::uint64_t least, std::uint64_t most) {
    if (auto number = read_number(in, value, least, most))
        out = static_cast<T>(*number);
}

/// Sets `out` to a number, whole or not (or a string with `${...}` in it), from `least` to `most`.
void set_real(reader& in, node const& value, double& out, double least, double most);

/// A size ("64KiB", or a number of bytes) from `least` to `most`.
std::optional<std::uint64_t> read_size(reader& in, node const& value, std::uint64_t least, std::uint64_t most);

template <class T>
void set_size(reader& in, node const& value, T& out, std::uint64_t least, std::uint64_t most) {
    if (auto size = read_size(in, value, least, most))
        out = static_cast<T>(*size);
}

/// The index of the element whose name was written, or nothing after a complaint.
template <class List, class NameOf>
std::optional<std::size_t> read_reference(reader& in, node const& v, std::string_view what, List const& list,
                                          NameOf name_of) {
    auto name = read_text(in, v);
    if (!name)
        return std::nullopt;
    std::vector<std::string_view> known;
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (name_of(list[i]) == *name)
            return i;
        known.push_back(name_of(list[i]));
    }
    in.error(v, "no " + std::string(what) + " is called \"" + *name + "\"" + suggest_name(*name, known));
    return std::nullopt;
}

} // namespace weir::config
