#pragma once

#include <weir/detail/config.hpp>

#include <boost/beast/http/field.hpp>

#include <cstddef>
#include <string_view>

/// HTTP/1.1 without sockets or clocks (RFC 9110, RFC 9112): strict heads and chunks, one canonical form of a target,
/// who the client is, and the fields and bodies of a refusal.
namespace weir::http {

/// One field line of a head. The views point into the buffer that was parsed.
struct field {
    /// As received; compare without regard to case, or by `id`.
    std::string_view name;
    /// Without leading and trailing white space; no control byte but HTAB.
    std::string_view value;
    /// `field::unknown` when Beast has no number for the name.
    boost::beast::http::field id = boost::beast::http::field::unknown;
    /// Meant for this connection alone, so never forwarded: see `is_hop_by_hop`.
    bool hop_by_hop = false;
};

/// Why a message is refused. Every refusal of a head or a chunk ends the connection: the next byte has no sure meaning.
struct refusal {
    /// What to answer the client: 400, 405, 414, 417, 431, 501 or 505; 502 for a message of an upstream. A 405 needs an
    /// `Allow` field (RFC 9110 15.5.6).
    unsigned status = 0;
    /// A short sentence in static storage, for the detail of a problem document and for the log; holds nothing of what
    /// was received.
    std::string_view reason;
};

/// What one head may take.
struct limits {
    /// Bytes of the request line or status line without its CRLF; more is 414.
    std::size_t max_line = 8 * 1024;
    /// Bytes of the whole head with its last empty line; more is 431.
    std::size_t max_head = 32 * 1024;
    /// Field lines; more is 431.
    std::size_t max_fields = 100;
};

/// How the body that follows a head is delimited.
enum class body_framing {
    none,
    /// `content_length` bytes; may be 0.
    length,
    chunked,
    /// Until the connection is closed; responses only.
    until_close,
};

enum class parse_state {
    /// The head is incomplete: read more and call again with everything so far.
    need_more,
    /// The head is complete; the body begins `consumed` bytes into the buffer.
    complete,
    /// Answer `why.status` and close.
    refused,
};

struct parse_result {
    parse_state state = parse_state::need_more;
    /// Bytes of the head, with its last empty line, once complete; else 0.
    std::size_t consumed = 0;
    refusal why;
};

} // namespace weir::http
