#pragma once

#include <weir/http/detail/bytes.hpp>
#include <weir/http/head.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace weir::http {
namespace detail {

WEIR_DECL field const* head::find(std::string_view name) const noexcept {
    for (auto const& each : fields_)
        if (equals_ignoring_case(each.name, name))
            return &each;
    return nullptr;
}

WEIR_DECL field const* head::find_only(std::string_view name, bool& twice) const noexcept {
    field const* found = nullptr;
    twice = false;
    for (auto const& each : fields_) {
        if (!equals_ignoring_case(each.name, name))
            continue;
        twice = found != nullptr;
        if (twice)
            return nullptr;
        found = &each;
    }
    return found;
}

/// Names that Connection may not take away: framing, and what upstreams and proxies before us rely on.
inline bool is_protected(field const& each) noexcept {
    using id = boost::beast::http::field;
    switch (each.id) {
    case id::host:
    case id::content_length:
    case id::content_type:
    case id::content_encoding:
    case id::authorization:
    case id::cookie:
    case id::set_cookie:
    case id::cache_control:
    case id::expect:
    case id::forwarded:
    case id::location:
    case id::max_forwards:
    case id::retry_after:
    case id::via:
        return true;
    case id::unknown:
        break;
    default:
        return false;
    }
    static constexpr std::array<std::string_view, 6> names{"x-real-ip",  "x-request-id", "traceparent",
                                                           "tracestate", "ratelimit",    "ratelimit-policy"};
    static constexpr std::string_view forwarded = "x-forwarded-";
    return equals_ignoring_case(each.name.substr(0, forwarded.size()), forwarded) ||
           std::any_of(names.begin(), names.end(), [&](auto name) { return equals_ignoring_case(each.name, name); });
}

/// The length of a token that `text` begins with, four bytes a step.
inline std::size_t token_length(std::string_view text) noexcept {
    std::size_t size = 0;
    auto const classes = [&](std::size_t i) { return byte_classes[static_cast<unsigned char>(text[size + i])]; };
    while (text.size() - size >= 4 && (classes(0) & classes(1) & classes(2) & classes(3) & token_byte) != 0)
        size += 4;
    while (size < text.size() && is(text[size], token_byte))
        ++size;
    return size;
}

/// 1*DIGIT below 2^63 (RFC 9110 8.6), and nothing else.
inline std::optional<std::uint64_t> parse_length(std::string_view text) noexcept {
    constexpr std::uint64_t limit = std::uint64_t{1} << 63;
    if (text.empty())
        return {};
    std::uint64_t value = 0;
    for (char byte : text) {
        if (!is(byte, digit_byte) || value >= limit / 10)
            return {};
        value = value * 10 + hex_value(byte);
    }
    return value;
}

/// "HTTP/" DIGIT "." DIGIT (RFC 9112 2.3): 10 for 1.0 and so on; 0 when it is not of that form.
inline unsigned parse_version(std::string_view text) noexcept {
    if (text.size() != 8 || !text.starts_with("HTTP/") || text[6] != '.' || !is(text[5], digit_byte) ||
        !is(text[7], digit_byte))
        return 0;
    return hex_value(text[5]) * 10 + hex_value(text[7]) + (text[5] == '0' ? 100 : 0);
}

inline bool is_port(std::string_view text) noexcept {
    auto const value = text.size() <= 5 ? parse_length(text) : std::nullopt;
    return text.empty() || (value && *value <= 65535);
}

inline bool is_ipv6_literal(std::string_view text) noexcept {
    constexpr std::size_t longest = 45;
    if (text.size() < 2 || text.size() > longest || text.find(':') == std::string_view::npos)
        return false;
    return std::all_of(text.begin(), text.end(),
                       [](char byte) { return is(byte, hex_byte) || byte == ':' || byte == '.'; });
}

/// uri-host [ ":" port ] of RFC 9110 7.2, without percent-encoding, which servers disagree about.
inline bool is_authority(std::string_view text) noexcept {
    constexpr std::size_t longest = 261;
    if (text.empty() || text.size() > longest)
        return false;
    std::size_t end = 0;
    if (text.front() == '[') {
        end = text.find(']');
        if (end == std::string_view::npos || !is_ipv6_literal(text.substr(1, end - 1)))
            return false;
        ++end;
    } else {
        while (end < text.size() && is(text[end], unreserved_byte | sub_delim_byte) && text[end] != ',')
            ++end;
        if (end == 0)
            return false;
    }
    return end == text.size() || (text[end] == ':' && is_port(text.substr(end + 1)));
}

/// The authority of an absolute-form target with scheme http or https; none when the target has another form.
inline std::optional<std::string_view> authority_of(std::string_view target) noexcept {
    for (std::string_view scheme : {std::string_view{"http://"}, std::string_view{"https://"}})
        if (equals_ignoring_case(target.substr(0, scheme.size()), scheme)) {
            auto const rest = target.substr(scheme.size());
            return rest.substr(0, rest.find_first_of("/?#"));
        }
    return {};
}

/// The parts that requests and responses share. Every function that returns a refusal gives status 0 for "go on".
struct head_parser {
    std::string_view buffer;
    limits const& limit;
    head& out;

    static constexpr refusal go_on{};

    static refusal bad(std::string_view reason) noexcept { return {400, reason}; }

    /// False when this call goes on with a head begun before.
    bool begin() noexcept {
        if (out.progress_.at != head_progress::stage::finished) {
            if (out.progress_.base != base())
                for (auto& each : out.fields_) {
                    move(each.name);
                    move(each.value);
                }
            return false;
        }
        out.progress_ = {0, 0, base(), head_progress::stage::start_line};
        out.fields_.clear();
        out.framing = body_framing::none;
        out.content_length = 0;
        out.keep_alive = false;
        out.has_host_ = out.has_length_ = out.has_transfer_encoding_ = out.has_connection_ = false;
        return true;
    }

    std::uintptr_t base() const noexcept { return reinterpret_cast<std::uintptr_t>(buffer.data()); }

    /// Points a view at the same bytes in the buffer of this call.
    void move(std::string_view& view) const noexcept {
        if (view.data() != nullptr)
            view = buffer.substr(reinterpret_cast<std::uintptr_t>(view.data()) - out.progress_.base, view.size());
    }

    enum class line_state { complete, partial, refused };

    line_state next_line(std::string_view& line, refusal& why) noexcept {
        auto& progress = out.progress_;
        auto const* const end = buffer.data() + buffer.size();
        auto const* const at = find_control(buffer.data() + progress.scanned, end);
        progress.scanned = static_cast<std::size_t>(at - buffer.data());
        why = check_size();
        if (why.status == 0 && at != end && *at != '\r')
            why = bad(*at == '\n' ? "a line that ends in a bare LF" : "a control character in the head");
        if (why.status == 0 && at != end && at + 1 != end && at[1] != '\n')
            why = bad("a bare CR in the head");
        if (why.status == 0 && progress.line_start != buffer.size())
            why = check_first_byte(buffer[progress.line_start]);
        if (why.status != 0)
            return line_state::refused;
        if (at == end || at + 1 == end)
            return line_state::partial;
        line = buffer.substr(progress.line_start, progress.scanned - progress.line_start);
        progress.line_start = progress.scanned = progress.scanned + 2;
        return line_state::complete;
    }

    refusal check_size() const noexcept {
        auto const& progress = out.progress_;
        if (progress.at == head_progress::stage::start_line && progress.scanned > limit.max_line)
            return {414, "the request line is too long"};
        // The CRLF that is still to come, or is there but not yet scanned, counts.
        if (progress.scanned + 2 > limit.max_head)
            return {431, "the head is too large"};
        return go_on;
    }

    /// What can be said of a line before its end is there.
    refusal check_first_byte(char byte) const noexcept {
        if (out.progress_.at == head_progress::stage::start_line)
            return is(byte, token_byte) ? go_on : bad("what came is not the first line of an HTTP message");
        return byte != ' ' && byte != '\t' ? go_on : bad("a folded field line (obs-fold)");
    }

    /// Parses one field line into a new field.
    refusal add_field(std::string_view line) {
        if (out.fields_.size() >= limit.max_fields)
            return {431, "too many field lines"};
        field added;
        if (!is_named_as_before(line, added))
            if (auto const why = read_name(line, added); why.status != 0)
                return why;
        line.remove_prefix(added.name.size() + 1);
        added.value = trim(line);
        out.fields_.push_back(added);
        return go_on;
    }

    /// Whether the line has the name of the one at its place in the head before, as it is usually spelled: then neither
    /// its bytes need be looked at nor its number be found.
    bool is_named_as_before(std::string_view line, field& added) const noexcept {
        auto const at = out.fields_.size();
        if (at >= out.before_.size() || out.before_[at] == boost::beast::http::field::unknown)
            return false;
        auto const name = boost::beast::http::to_string(out.before_[at]);
        if (line.size() <= name.size() || line[name.size()] != ':' ||
            std::memcmp(line.data(), name.data(), name.size()) != 0)
            return false;
        added.name = line.substr(0, name.size());
        added.id = out.before_[at];
        return true;
    }

    refusal read_name(std::string_view line, field& added) noexcept {
        auto const colon = token_length(line);
        if (colon == line.size())
            return bad("a field line without a colon");
        if (line[colon] != ':')
            return bad(line[colon] == ' ' || line[colon] == '\t' ? "white space in or after a field name"
                                                                 : "an invalid character in a field name");
        if (colon == 0)
            return bad("a field line without a name");
        added.name = line.substr(0, colon);
        added.id = boost::beast::http::string_to_field({line.data(), colon});
        if (auto const at = out.fields_.size(); at < out.before_.size())
            out.before_[at] = added.id;
        return go_on;
    }

    refusal on_field(field& each) noexcept {
        using id = boost::beast::http::field;
        switch (each.id) {
        case id::content_length:
            return on_content_length(each.value);
        case id::transfer_encoding:
            out.has_transfer_encoding_ = each.hop_by_hop = true;
            break;
        case id::connection:
            out.has_connection_ = each.hop_by_hop = true;
            break;
        case id::keep_alive:
        case id::proxy_connection:
        case id::proxy_authenticate:
        case id::proxy_authorization:
        case id::te:
        case id::trailer:
        case id::upgrade:
        case id::http2_settings:
            each.hop_by_hop = true;
            break;
        default:
            break;
        }
        return go_on;
    }

    refusal on_content_length(std::string_view value) noexcept {
        if (out.has_length_)
            return bad("more than one Content-Length");
        auto const length = parse_length(value);
        if (!length)
            return bad("an invalid Content-Length");
        out.has_length_ = true;
        out.content_length = *length;
        return go_on;
    }

    /// Goes through the list of codings in all Transfer-Encoding fields: only `chunked`, alone, is implemented.
    refusal check_transfer_encoding() const noexcept {
        if (out.version == 10)
            return bad("Transfer-Encoding in an HTTP/1.0 message");
        if (out.has_length_)
            return bad("Content-Length and Transfer-Encoding together");
        bool chunked = false, other = false, unknown = false;
        for (auto const& each : out.fields_) {
            if (each.id != boost::beast::http::field::transfer_encoding)
                continue;
            std::string_view list = each.value, coding;
            for (bool more = true; next_element(list, coding, more);) {
                if (coding.empty() || !all_of(coding, token_byte))
                    return bad("an invalid Transfer-Encoding");
                if (chunked)
                    return bad("Transfer-Encoding goes on after chunked");
                if (equals_ignoring_case(coding, "chunked"))
                    chunked = true;
                else
                    (is_registered(coding) ? other : unknown) = true;
            }
        }
        if (unknown || (chunked && other))
            return {501, "a transfer coding that is not implemented"};
        return chunked ? go_on : bad("Transfer-Encoding does not end in chunked");
    }

    static bool is_registered(std::string_view coding) noexcept {
        static constexpr std::array<std::string_view, 6> names{"gzip",     "x-gzip",     "deflate",
                                                               "compress", "x-compress", "identity"};
        return std::any_of(names.begin(), names.end(), [&](auto name) { return equals_ignoring_case(coding, name); });
    }

    /// Sets `keep_alive`, and marks what Connection names.
    refusal check_connection() noexcept {
        constexpr unsigned most_names = 32;
        bool close = false, keep = false;
        unsigned names = 0;
        for (std::size_t i = 0; out.has_connection_ && i < out.fields_.size(); ++i) {
            if (out.fields_[i].id != boost::beast::http::field::connection)
                continue;
            std::string_view list = out.fields_[i].value, option;
            for (bool more = true; next_element(list, option, more);) {
                if (equals_ignoring_case(option, "close"))
                    close = true;
                else if (equals_ignoring_case(option, "keep-alive"))
                    keep = true;
                else if (!option.empty() && ++names > most_names)
                    return bad("too many names in Connection");
                else if (!option.empty())
                    take_away(option);
            }
        }
        out.keep_alive = !close && (out.version == 11 || keep);
        return go_on;
    }

    void take_away(std::string_view name) noexcept {
        for (auto& each : out.fields_)
            if (equals_ignoring_case(each.name, name) && !is_protected(each))
                each.hop_by_hop = true;
    }

    parse_result refuse(refusal why) noexcept {
        out.progress_.at = head_progress::stage::finished;
        return {parse_state::refused, 0, why};
    }

    parse_result complete() noexcept {
        out.progress_.at = head_progress::stage::finished;
        return {parse_state::complete, out.progress_.line_start, {}};
    }

    parse_result need_more() noexcept {
        out.progress_.base = base();
        return {};
    }
};

/// Goes through the lines that are there.
template <class Parser>
parse_result run(Parser& parser) {
    using stage = head_progress::stage;
    for (;;) {
        std::string_view line;
        refusal why;
        auto const state = parser.next_line(line, why);
        if (state == head_parser::line_state::refused)
            return parser.refuse(why);
        if (state == head_parser::line_state::partial)
            return parser.need_more();
        if (parser.out.progress_.at == stage::start_line) {
            parser.out.progress_.at = stage::field_lines;
            why = parser.on_start_line(line);
        } else if (line.empty()) {
            return parser.finish();
        } else {
            why = parser.add_field(line);
            if (why.status == 0)
                why = parser.on_field(parser.out.fields_.back());
        }
        if (why.status != 0)
            return parser.refuse(why);
    }
}

/// What only requests have.
struct request_parser : head_parser {
    request_head& request;

    void begin() noexcept {
        if (head_parser::begin()) {
            request.method = request.target = request.host = {};
            request.expect_continue = false;
        } else if (request.progress_.base != base()) {
            move(request.method);
            move(request.target);
            move(request.host);
        }
    }

    refusal on_start_line(std::string_view line) noexcept {
        auto const method_size = token_length(line);
        if (method_size == 0 || method_size == line.size() || line[method_size] != ' ')
            return bad("an invalid request line");
        request.method = line.substr(0, method_size);
        request.verb = boost::beast::http::string_to_verb({request.method.data(), request.method.size()});
        auto rest = line.substr(method_size + 1);
        auto const space = rest.find(' ');
        if (space == std::string_view::npos)
            return bad("a request line without a version (HTTP/0.9)");
        request.target = rest.substr(0, space);
        return on_version(parse_version(rest.substr(space + 1)));
    }

    refusal on_version(unsigned version) noexcept {
        if (version == 0)
            return bad("an invalid request line");
        if (version >= 100)
            return bad("HTTP/0.x is not spoken here");
        if (version != 10 && version != 11)
            return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
        request.version = version;
        return check_target();
    }

    refusal check_target() noexcept {
        using verb = boost::beast::http::verb;
        if (request.verb == verb::connect || request.verb == verb::trace)
            return {405, "the method is not allowed here"};
        if (request.target.empty())
            return bad("a request without a target");
        for (char byte : request.target)
            if (static_cast<unsigned char>(byte) <= ' ' || static_cast<unsigned char>(byte) >= 0x7f)
                return bad("an invalid byte in the target");
        if (request.target == "*")
            return request.verb == verb::options ? go_on : bad("target * without OPTIONS");
        if (request.target.front() == '/')
            return go_on;
        auto const authority = authority_of(request.target);
        if (!authority || !is_authority(*authority))
            return bad("the target is neither a path nor an http URI");
        request.host = *authority;
        return go_on;
    }

    refusal on_field(field& each) noexcept {
        using id = boost::beast::http::field;
        if (each.id == id::host)
            return on_host(each.value);
        if (each.id == id::expect)
            return on_expect(each.value);
        if (each.name.find('_') != std::string_view::npos) {
            each.hop_by_hop = true;
            return shadows_framing(each.name) ? bad("a framing field spelled with an underscore") : go_on;
        }
        return head_parser::on_field(each);
    }

    refusal on_host(std::string_view value) noexcept {
        if (request.has_host_)
            return bad("more than one Host");
        request.has_host_ = true;
        if (!is_authority(value))
            return bad("an invalid Host");
        // An absolute-form target has set it already, and wins (RFC 9112 3.2.2).
        if (request.host.empty())
            request.host = value;
        return go_on;
    }

    refusal on_expect(std::string_view value) noexcept {
        if (!equals_ignoring_case(value, "100-continue"))
            return {417, "an expectation other than 100-continue"};
        request.expect_continue = request.version == 11;
        return go_on;
    }

    static bool shadows_framing(std::string_view name) noexcept {
        auto const same = [&](std::string_view real) {
            return name.size() == real.size() && std::equal(name.begin(), name.end(), real.begin(), [](char a, char b) {
                       return to_lower(a == '_' ? '-' : a) == b;
                   });
        };
        return same("content-length") || same("transfer-encoding");
    }

    parse_result finish() noexcept {
        if (!request.has_host_ && request.version == 11)
            return refuse(bad("no Host"));
        if (auto const why = check_connection(); why.status != 0)
            return refuse(why);
        if (request.has_transfer_encoding_) {
            if (auto const why = check_transfer_encoding(); why.status != 0)
                return refuse(why);
            request.framing = body_framing::chunked;
        } else if (request.has_length_) {
            request.framing = body_framing::length;
        }
        return complete();
    }
};

/// What only responses have.
struct response_parser : head_parser {
    response_head& response;
    boost::beast::http::verb request_verb;

    void begin() noexcept {
        if (head_parser::begin()) {
            response.reason = {};
            response.has_content_length = false;
        } else if (response.progress_.base != base()) {
            move(response.reason);
        }
    }

    /// HTTP-version SP 3DIGIT [ SP reason-phrase ]: the space that many servers leave out is not asked for.
    refusal on_start_line(std::string_view line) noexcept {
        auto const version = parse_version(line.substr(0, 8));
        if (version != 10 && version != 11)
            return bad("the upstream does not speak HTTP/1.0 or HTTP/1.1");
        if (line.size() < 12 || line[8] != ' ' || !all_of(line.substr(9, 3), digit_byte))
            return bad("an invalid status line from the upstream");
        if (line.size() > 12 && line[12] != ' ')
            return bad("an invalid status line from the upstream");
        response.version = version;
        response.status = hex_value(line[9]) * 100 + hex_value(line[10]) * 10 + hex_value(line[11]);
        response.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
        return response.status >= 100 && response.status < 600 ? go_on : bad("an invalid status from the upstream");
    }

    /// RFC 9112 6.3.
    parse_result finish() noexcept {
        if (auto const why = check_connection(); why.status != 0)
            return refuse(why);
        if (response.has_transfer_encoding_)
            if (auto const why = check_transfer_encoding(); why.status != 0)
                return refuse(why);
        response.has_content_length = response.has_length_;
        bool const bodiless_status = response.status < 200 || response.status == 204;
        if (bodiless_status || response.status == 304 || request_verb == boost::beast::http::verb::head) {
            // A 1xx or 204 that announces a body may send one: nothing after it can be trusted.
            if (bodiless_status &&
                (response.has_transfer_encoding_ || (response.has_length_ && response.content_length != 0)))
                response.keep_alive = false;
        } else if (response.has_transfer_encoding_) {
            response.framing = body_framing::chunked;
        } else if (response.has_length_) {
            response.framing = body_framing::length;
        } else {
            response.framing = body_framing::until_close;
            response.keep_alive = false;
        }
        return complete();
    }
};

} // namespace detail

WEIR_DECL parse_result parse_request_head(std::string_view buffer, limits const& limit, request_head& out) {
    detail::request_parser parser{{buffer, limit, out}, out};
    parser.begin();
    return detail::run(parser);
}

WEIR_DECL parse_result parse_response_head(std::string_view buffer, limits const& limit,
                                           boost::beast::http::verb request_verb, response_head& out) {
    detail::response_parser parser{{buffer, limit, out}, out, request_verb};
    parser.begin();
    auto result = detail::run(parser);
    if (result.state == parse_state::refused)
        result.why.status = 502;
    return result;
}

} // namespace weir::http
