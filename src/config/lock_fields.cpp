#include "config/lock_fields.hpp"

namespace weir::config {
namespace {

/// A lock is renewed while its request is served, and that must not be a race.
constexpr milliseconds least_ttl{1000};
constexpr milliseconds longest_ttl = std::chrono::hours{24};
/// Longer, and clients and the proxies between have long given up.
constexpr milliseconds longest_wait = std::chrono::hours{1};

void read_redis_failure(reader& in, node const& v, lock& out) {
    auto const word = read_text(in, v);
    if (word && *word == "local")
        return in.error(v, "a lock cannot be held \"local\": other instances would not know of it; choose \"closed\" "
                           "(503) or \"open\" (served without the lock)");
    set_choice(in, v, out.pass_without_redis, "closed", "open");
}

/// A lock under construction.
struct lock_draft {
    lock& made;
    bool waits = false;
};

constexpr std::array lock_fields{
    field<lock_draft>{
        "key", [](reader& in, node const& v, lock_draft& out) { set_parsed(in, v, out.made.key, parse_lock_key); },
        presence::required},
    field<lock_draft>{
        "on_busy", [](reader& in, node const& v, lock_draft& out) { set_choice(in, v, out.waits, "reject", "wait"); }},
    field<lock_draft>{"wait",
                      [](reader& in, node const& v, lock_draft& out) {
                          set_duration(in, v, out.made.wait, milliseconds{0}, longest_wait);
                      }},
    field<lock_draft>{"ttl", [](reader& in, node const& v,
                                lock_draft& out) { set_duration(in, v, out.made.ttl, least_ttl, longest_ttl); }},
    field<lock_draft>{"on_missing_key",
                      [](reader& in, node const& v, lock_draft& out) {
                          bool passes = false;
                          set_choice(in, v, passes, "reject", "pass");
                          out.made.on_missing_key = passes ? lock::missing_key::pass : lock::missing_key::reject;
                      }},
    field<lock_draft>{"on_redis_failure",
                      [](reader& in, node const& v, lock_draft& out) { read_redis_failure(in, v, out.made); }},
};

/// What the fields say together.
void check_lock(reader& in, node const& v, lock_draft const& out) {
    auto const complain = [&](std::string_view name, std::string text) {
        auto const* const given = find_member(v, name);
        reader::step into(in, given ? name : "on_busy");
        in.error(given ? *given : *find_member(v, "on_busy"), std::move(text));
    };
    bool const bounded = out.made.wait.count() > 0;
    if (out.waits && !bounded)
        complain("wait", "\"on_busy\": \"wait\" wants to know how long at most: \"wait\": \"10s\"");
    if (!out.waits && bounded)
        complain("wait", "says nothing without \"on_busy\": \"wait\"");
    bool const always_there =
        out.made.key.from != lock_key::type::header && out.made.key.from != lock_key::type::attribute;
    if (always_there && find_member(v, "on_missing_key") && find_member(v, "key"))
        complain("on_missing_key",
                 "says nothing with \"key\": \"" + format_lock_key(out.made.key) + "\", which every request has");
}

} // namespace

lock_key parse_lock_key(std::string_view text) {
    using type = lock_key::type;
    if (text == "path")
        return {type::path, {}};
    if (text.starts_with("header:") || text.starts_with("attribute:") || text == "user" || text == "ip" ||
        text == "*") {
        auto part = parse_per(text);
        switch (part.from) {
        case per_part::type::header:
            return {type::header, std::move(part.header)};
        case per_part::type::attribute:
            return {type::attribute, std::move(part.header)};
        case per_part::type::user:
            return {type::user, {}};
        case per_part::type::ip:
            return {type::ip, {}};
        case per_part::type::everyone:
            break;
        }
        return {};
    }
    throw value_error("unknown value \"" + std::string(text) + '"' +
                      suggest_name(text, {"header:NAME", "user", "ip", "attribute:NAME", "path", "*"}));
}

std::string format_lock_key(lock_key const& value) {
    switch (value.from) {
    case lock_key::type::header:
        return "header:" + value.name;
    case lock_key::type::attribute:
        return "attribute:" + value.name;
    case lock_key::type::user:
        return "user";
    case lock_key::type::ip:
        return "ip";
    case lock_key::type::path:
        return "path";
    case lock_key::type::everyone:
        break;
    }
    return "*";
}

void read_lock(reader& in, node const& value, lock& out) {
    lock_draft draft{out};
    read_object(in, value, draft, lock_fields);
    if (value.is_object())
        check_lock(in, value, draft);
}

std::vector<object_fields> describe_lock_fields() { return {describe("lock", lock_fields)}; }

} // namespace weir::config
