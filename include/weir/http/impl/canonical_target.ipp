#pragma once

#include <weir/http/canonical_target.hpp>
#include <weir/http/detail/bytes.hpp>

namespace weir::http {
namespace detail {

/// Bytes that stand for themselves in a segment of a path (pchar of RFC 3986, without percent-encoding).
constexpr bool is_segment_byte(char byte) noexcept {
    return is(byte, unreserved_byte | sub_delim_byte) || byte == ':' || byte == '@';
}

constexpr char upper_hex(unsigned value) noexcept { return "0123456789ABCDEF"[value & 15]; }

inline void append_encoded(std::string& out, char byte) {
    auto const value = static_cast<unsigned char>(byte);
    char const text[] = {'%', upper_hex(value >> 4), upper_hex(value)};
    out.append(text, sizeof text);
}

/// Whether `rest` begins with a percent-encoded byte.
constexpr bool is_encoded(std::string_view rest) noexcept {
    return rest.size() >= 3 && rest[0] == '%' && is(rest[1], hex_byte) && is(rest[2], hex_byte);
}

constexpr unsigned decode(std::string_view encoded) noexcept {
    return hex_value(encoded[1]) * 16 + hex_value(encoded[2]);
}

/// What an upstream that decodes twice, or decodes UTF-8 loosely, would take for another character: `rest` begins at
/// a percent-encoded byte of a canonical path.
inline std::string_view check_decoded_twice(std::string_view rest) noexcept {
    auto const byte = decode(rest);
    rest.remove_prefix(3);
    if (byte == '%' && rest.size() >= 2 && is(rest[0], hex_byte) && is(rest[1], hex_byte))
        return "a double percent-encoding in the target";
    if (!is_encoded(rest))
        return {};
    auto const next = decode(rest);
    bool const continues = next >= 0x80 && next < 0xc0;
    if (continues && (byte == 0xc0 || byte == 0xc1 || (byte == 0xe0 && next < 0xa0) || (byte == 0xf0 && next < 0x90)))
        return "an overlong UTF-8 sequence in the target";
    return {};
}

/// Builds a path segment by segment.
class path_builder {
public:
    explicit path_builder(canonical_target& out)
        : out_(out) {
        out_.path.clear();
        out_.key.clear();
    }

    /// An empty result means that all went well; otherwise it is the reason.
    std::string_view add_all(std::string_view path) {
        if (is_canonical(path)) {
            out_.path.assign(path);
            out_.key.assign(path.substr(0, path.size() > 1 && path.ends_with('/') ? path.size() - 1 : path.size()));
            for (char& byte : out_.key)
                byte = to_lower(byte);
            return {};
        }
        while (!path.empty()) {
            path.remove_prefix(1);
            auto const slash = path.find('/');
            bool const last = slash == std::string_view::npos;
            if (auto const why = add(path.substr(0, slash), last); !why.empty())
                return why;
            if (last)
                break;
            path.remove_prefix(slash);
        }
        return finish();
    }

private:
    /// Nearly every path is: nothing encoded, no parameters, no empty segment, none that begins with a dot.
    static bool is_canonical(std::string_view path) noexcept {
        char before = 0;
        for (char byte : path) {
            if (!(is_segment_byte(byte) || byte == '/') || byte == ';' ||
                (before == '/' && (byte == '/' || byte == '.')))
                return false;
            before = byte;
        }
        return !path.empty();
    }

    std::string_view add(std::string_view segment, bool last) {
        auto const path_start = out_.path.size(), key_start = out_.key.size();
        out_.path += '/';
        out_.key += '/';
        bool parameters = false;
        for (std::size_t i = 0; i < segment.size(); ++i) {
            if (auto const why = add_byte(segment, i, parameters); !why.empty())
                return why;
        }
        auto const text = std::string_view{out_.path}.substr(path_start + 1);
        auto const plain = std::string_view{out_.key}.substr(key_start + 1);
        if (parameters && (plain.empty() || plain == "." || plain == ".."))
            return "a segment of the target hides behind its parameters";
        bool const up = text == "..";
        if (!up && text != "." && !(text.empty() && !last)) {
            if (plain.empty())
                out_.key.resize(key_start);
            return {};
        }
        out_.path.resize(path_start);
        out_.key.resize(key_start);
        if (up && !remove_last())
            return "the target climbs above the root";
        // What ends in a dot segment is a directory (RFC 3986 5.2.4).
        if (last)
            out_.path += '/';
        return {};
    }

    std::string_view add_byte(std::string_view segment, std::size_t& i, bool& parameters) {
        char byte = segment[i];
        bool const encoded = byte == '%';
        if (encoded) {
            if (!is_encoded(segment.substr(i)))
                return "an invalid percent-encoding in the target";
            byte = static_cast<char>(decode(segment.substr(i)));
            i += 2;
            encoded_ = true;
        }
        auto const value = static_cast<unsigned char>(byte);
        if (value < 0x20 || value == 0x7f || (!encoded && value >= 0x7f) || (!encoded && value == ' '))
            return "a control or non-ASCII byte in the target";
        if (byte == '\\' || byte == '/')
            return byte == '/' ? "an encoded slash in the target" : "a backslash in the target";
        if (byte == '#' && !encoded)
            return "a fragment in the target";
        if (is(byte, unreserved_byte) || (!encoded && is_segment_byte(byte)))
            out_.path += byte;
        else
            append_encoded(out_.path, byte);
        parameters = parameters || byte == ';';
        if (parameters)
            return {};
        if (is_segment_byte(byte))
            out_.key += to_lower(byte);
        else
            append_encoded(out_.key, byte);
        return {};
    }

    /// Takes the last segment off both forms. False at the root.
    bool remove_last() {
        auto const slash = out_.path.rfind('/');
        if (slash == std::string::npos)
            return false;
        out_.path.resize(slash);
        out_.key.resize(out_.key.rfind('/'));
        return true;
    }

    std::string_view finish() {
        if (out_.path.empty())
            out_.path = '/';
        if (out_.key.empty())
            out_.key = '/';
        if (encoded_)
            for (auto at = out_.path.find('%'); at != std::string::npos; at = out_.path.find('%', at + 1))
                if (auto const why = check_decoded_twice(std::string_view{out_.path}.substr(at)); !why.empty())
                    return why;
        return {};
    }

    canonical_target& out_;
    bool encoded_ = false;
};

/// Takes scheme and authority off an absolute-form target. False when it is of neither form.
inline bool to_origin_form(std::string_view& target) noexcept {
    if (target.starts_with('/'))
        return true;
    for (std::string_view scheme : {std::string_view{"http://"}, std::string_view{"https://"}})
        if (equals_ignoring_case(target.substr(0, scheme.size()), scheme)) {
            target.remove_prefix(scheme.size());
            auto const end = target.find_first_of("/?#");
            if (target.substr(0, end).find('@') != std::string_view::npos)
                return false;
            target.remove_prefix(end == std::string_view::npos ? target.size() : end);
            return true;
        }
    return false;
}

} // namespace detail

WEIR_DECL bool canonicalize(std::string_view target, canonical_target& out, refusal& why) {
    out.query.clear();
    out.has_query = false;
    if (target == "*") {
        out.path = out.key = "*";
        return true;
    }
    if (!detail::to_origin_form(target)) {
        why = {400, "the target is neither a path nor an http URI"};
        return false;
    }
    auto const question = target.find('?');
    if (question != std::string_view::npos) {
        out.has_query = true;
        out.query.assign(target.substr(question + 1));
        for (char byte : out.query)
            if (byte == '#' || static_cast<unsigned char>(byte) <= ' ' || static_cast<unsigned char>(byte) >= 0x7f) {
                why = {400, byte == '#' ? "a fragment in the target" : "a control or non-ASCII byte in the target"};
                return false;
            }
    }
    auto const reason = detail::path_builder{out}.add_all(target.substr(0, question));
    if (!reason.empty())
        why = {400, reason};
    return reason.empty();
}

WEIR_DECL bool canonicalize_pattern(std::string_view pattern, std::string& key, bool& prefix, refusal& why) {
    prefix = pattern.ends_with('*');
    if (prefix)
        pattern.remove_suffix(1);
    canonical_target target;
    if (!pattern.starts_with('/') || pattern.find('?') != std::string_view::npos) {
        why = {400, "not a path"};
        return false;
    }
    if (!canonicalize(pattern, target, why))
        return false;
    key = target.key;
    if (prefix && pattern.ends_with('/') && key != "/")
        key += '/';
    return true;
}

} // namespace weir::http
