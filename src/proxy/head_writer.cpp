#include "proxy/head_writer.hpp"

#include "proxy/lock_hold.hpp"

#include <boost/beast/core/string.hpp>
#include <weir/http/detail/text_writer.hpp>

namespace weir::proxy {
namespace {

using beast_field = boost::beast::http::field;
using http::detail::text_writer;
using namespace std::string_view_literals;

/// Fields of a request that are not passed on as they came.
enum class own : std::uint8_t {
    no,
    dropped,
    forwarded,
    forwarded_for,
    forwarded_host,
    forwarded_proto,
    request_id,
    trace
};

bool same_name(std::string_view a, std::string_view b) noexcept { return boost::beast::iequals(a, b); }

own classify(http::field const& each) noexcept {
    switch (each.id) {
    case beast_field::host:
    case beast_field::content_length:
    case beast_field::transfer_encoding:
    case beast_field::expect:
        return own::dropped; // written from our own decision, or answered by us
    case beast_field::forwarded:
        return own::forwarded;
    case beast_field::unknown:
        break;
    default:
        return own::no;
    }
    auto const name = each.name;
    switch (name.size()) {
    case 9:
        return same_name(name, "x-real-ip") ? own::dropped : own::no;
    case 11:
        return same_name(name, "traceparent") ? own::trace : own::no;
    case 12:
        if (same_name(name, fence_field)) // what upstreams trust, only this proxy may say
            return own::dropped;
        return same_name(name, "x-request-id") ? own::request_id : own::no;
    case 15:
        return same_name(name, "x-forwarded-for") ? own::forwarded_for : own::no;
    case 16:
        return same_name(name, "x-forwarded-host") ? own::forwarded_host : own::no;
    case 17:
        return same_name(name, "x-forwarded-proto") ? own::forwarded_proto : own::no;
    default:
        return own::no;
    }
}

[[gnu::always_inline]] inline void append_field(text_writer& out, std::string_view name, std::string_view value) {
    out.add(name).add(": "sv).add(value).add("\r\n"sv);
}

/// Passes fields on as they came: those that follow each other, spelled as we would, in one piece.
class field_relay {
public:
    explicit field_relay(text_writer& out) noexcept
        : out_(out) {}

    /// Precondition: it is of the same head as the one before.
    void add(http::field const& each) {
        auto const* const name_end = each.name.data() + each.name.size();
        auto const* const value_end = each.value.data() + each.value.size();
        bool const usual = each.value.data() == name_end + 2 && name_end[1] == ' ';
        if (!usual || each.name.data() != next_)
            flush();
        if (!usual)
            return append_field(out_, each.name, each.value);
        if (first_ == nullptr)
            first_ = each.name.data();
        next_ = value_end + line_end.size();
    }

    /// To be called after the last.
    void flush() {
        if (first_ == nullptr)
            return;
        out_.add({first_, static_cast<std::size_t>(next_ - first_) - line_end.size()}).add(line_end);
        first_ = next_ = nullptr;
    }

private:
    static constexpr std::string_view line_end = "\r\n";

    text_writer& out_;
    char const* first_ = nullptr;
    /// Where the next field begins if nothing but the end of the line is between.
    char const* next_ = nullptr;
};

void append_framing(text_writer& out, outgoing_body body) {
    if (body.framing == http::body_framing::chunked) {
        out.add("Transfer-Encoding: chunked\r\n"sv);
    } else if (body.framing == http::body_framing::length) {
        out.add("Content-Length: "sv);
        out.add_number(body.length);
        out.add("\r\n"sv);
    }
}

/// All lines of one list field, in order, as one line (RFC 9110 5.3): many upstreams look at one line alone.
void append_list(text_writer& out, http::request_head const& request, own which) {
    for (auto const& each : request.fields())
        if (classify(each) == which && !each.value.empty())
            out.add(each.value).add(", "sv);
}

void append_forwarded(text_writer& out, http::request_head const& request, client_info const& client, bool had_for,
                      bool had_forwarded) {
    out.add("X-Forwarded-For: "sv);
    if (client.trusted && had_for)
        append_list(out, request, own::forwarded_for);
    out.add(client.peer).add("\r\nForwarded: "sv);
    if (client.trusted && had_forwarded)
        append_list(out, request, own::forwarded);
    bool const v6 = client.peer.find(':') != std::string_view::npos;
    out.add(v6 ? "for=\"["sv : "for="sv).add(client.peer).add(v6 ? "]\""sv : ""sv);
    if (!request.host.empty())
        out.add(";host=\""sv).add(request.host).add("\""sv);
    out.add(client.secure ? ";proto=https\r\n"sv : ";proto=http\r\n"sv);
}

/// The start line of a response.
void append_status(text_writer& out, http::response_head const& response) {
    out.add("HTTP/1.1 "sv);
    out.add_number(response.status);
    out.add(" "sv).add(response.reason).add("\r\n"sv);
}

} // namespace

void append_number(std::string& out, std::uint64_t value) {
    constexpr std::size_t longest = 20;
    text_writer(out, longest).add_number(value);
}

void choose_request_id(http::request_head const& request, id_source& ids, std::string& out) {
    out.clear();
    for (auto const& each : request.fields())
        if (classify(each) == own::request_id && is_sane_request_id(each.value)) {
            out = each.value;
            return;
        }
    ids.append(out);
}

void write_request_head(std::string& to, http::request_head const& request, std::string_view path,
                        std::string_view query, bool has_query, client_info const& client, outgoing_body body,
                        std::string_view request_id, id_source& ids) {
    to.clear();
    text_writer out(to);
    out.add(request.method).add(' ').add(path);
    if (has_query)
        out.add("?"sv).add(query);
    out.add(" HTTP/1.1\r\nHost: "sv).add(request.host).add("\r\n"sv);

    std::string_view host;
    std::string_view proto;
    std::string_view trace;
    bool had_for = false;
    bool had_forwarded = false;
    field_relay relayed(out);
    for (auto const& each : request.fields()) {
        if (http::is_hop_by_hop(request, each) || (client.plain_answer && each.id == beast_field::accept_encoding))
            continue;
        switch (classify(each)) {
        case own::no:
            relayed.add(each);
            break;
        case own::forwarded:
            had_forwarded = true;
            break;
        case own::forwarded_for:
            had_for = true;
            break;
        case own::forwarded_host:
            host = each.value;
            break;
        case own::forwarded_proto:
            proto = each.value;
            break;
        case own::trace:
            trace = each.value;
            break;
        case own::request_id:
        case own::dropped:
            break;
        }
    }
    relayed.flush();

    append_forwarded(out, request, client, had_for, had_forwarded);
    append_field(out, "X-Forwarded-Host", client.trusted && !host.empty() ? host : request.host);
    append_field(out, "X-Forwarded-Proto", client.trusted && !proto.empty() ? proto : client.secure ? "https" : "http");
    append_field(out, "X-Request-Id", request_id);
    out.add(client.extra);
    out.add("traceparent: "sv);
    if (is_valid_traceparent(trace)) {
        out.add(trace);
    } else {
        auto const trace_id = ids.make<32>();
        auto const span_id = ids.make<16>();
        out.add("00-"sv).add({trace_id.data(), trace_id.size()}).add('-');
        out.add({span_id.data(), span_id.size()}).add("-00"sv);
    }
    out.add(request.version == 10 ? "\r\nVia: 1.0 weir\r\n"sv : "\r\nVia: 1.1 weir\r\n"sv);
    if (!client.upgrade.empty())
        out.add("Connection: Upgrade\r\nUpgrade: "sv).add(client.upgrade).add("\r\n"sv);
    append_framing(out, body);
    out.add("\r\n"sv);
}

void write_response_head(std::string& to, http::response_head const& response, outgoing_body body,
                         reply_fields const& ours) {
    to.clear();
    text_writer out(to);
    append_status(out, response);
    bool dated = false;
    bool identified = false;
    field_relay relayed(out);
    for (auto const& each : response.fields()) {
        if (http::is_hop_by_hop(response, each) || each.id == beast_field::content_length)
            continue;
        dated |= each.id == beast_field::date;
        identified |= each.id == beast_field::unknown && same_name(each.name, "x-request-id");
        relayed.add(each);
    }
    relayed.flush();
    if (!dated)
        append_field(out, "Date", ours.date);
    if (!identified)
        append_field(out, "X-Request-Id", ours.request_id);
    out.add(response.version == 10 ? "Via: 1.0 weir\r\n"sv : "Via: 1.1 weir\r\n"sv);
    out.add(ours.extra);
    append_framing(out, body);
    if (!ours.keep_alive)
        out.add("Connection: close\r\n"sv);
    else if (ours.client_version == 10)
        out.add("Connection: keep-alive\r\n"sv);
    out.add("\r\n"sv);
}

namespace {

/// The fields of a 1xx, which has no body whatever it says.
void append_bodiless(text_writer& out, http::response_head const& response) {
    append_status(out, response);
    field_relay relayed(out);
    for (auto const& each : response.fields())
        if (!http::is_hop_by_hop(response, each) && each.id != beast_field::content_length)
            relayed.add(each);
    relayed.flush();
}

} // namespace

void write_switch_head(std::string& to, http::response_head const& response, reply_fields const& ours) {
    to.clear();
    text_writer out(to);
    append_bodiless(out, response);
    if (response.find("x-request-id") == nullptr)
        append_field(out, "X-Request-Id", ours.request_id);
    out.add("Via: 1.1 weir\r\n"sv).add(ours.extra);
    append_field(out, "Connection", "Upgrade");
    append_field(out, "Upgrade", response.find(beast_field::upgrade));
    out.add("\r\n"sv);
}

void write_interim_head(std::string& to, http::response_head const& response) {
    to.clear();
    text_writer out(to);
    append_bodiless(out, response);
    out.add("\r\n"sv);
}

} // namespace weir::proxy
