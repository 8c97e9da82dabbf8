#pragma once

#include <weir/http/field.hpp>

#include <boost/beast/http/verb.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace weir::http {

namespace detail {

/// How far a head has been parsed, so that a head that trickles in is looked at once, not once a packet.
struct head_progress {
    enum class stage : std::uint8_t { start_line, field_lines, finished };

    std::size_t line_start = 0;
    std::size_t scanned = 0;
    /// Where the buffer was at the last call: its owner may have moved it since.
    std::uintptr_t base = 0;
    stage at = stage::finished;
};

/// What a head of either kind is made of.
struct head {
    /// 10 or 11.
    unsigned version = 11;
    body_framing framing = body_framing::none;
    /// Bytes of the body when `framing` is `length`.
    std::uint64_t content_length = 0;
    /// The sender will take or send another message after this one (RFC 9112 9.3).
    bool keep_alive = false;

    /// The field lines in the order received.
    std::span<field const> fields() const noexcept { return fields_; }

    /// The value of the first field of that number; empty when there is none.
    std::string_view find(boost::beast::http::field id) const noexcept {
        for (auto const& each : fields_)
            if (each.id == id)
                return each.value;
        return {};
    }

    /// The first field of that name, without regard to case; null when there is none.
    WEIR_DECL field const* find(std::string_view name) const noexcept;

    /// The same where a second one would be a contradiction: null, with `twice`, when there are several, since another
    /// reader might go by another of them.
    WEIR_DECL field const* find_only(std::string_view name, bool& twice) const noexcept;

protected:
    friend struct head_parser;
    friend struct request_parser;
    friend struct response_parser;
    template <class Parser>
    friend parse_result run(Parser&);
    std::vector<field> fields_;
    head_progress progress_;
    bool has_host_ = false;
    bool has_length_ = false;
    bool has_transfer_encoding_ = false;
    bool has_connection_ = false;
    /// The first fields of the head before: who sends another one mostly sends the same fields in the same order.
    std::array<boost::beast::http::field, 16> before_{};
};

} // namespace detail

/// The head of a request that keeps every rule of the strictness table. Reuse the object: it keeps its capacity, so
/// that parsing allocates nothing once it has seen the largest number of fields.
///
/// The views point into the buffer given last and are valid until its bytes change. Distinct objects: safe; shared
/// objects: unsafe.
struct request_head : detail::head {
    boost::beast::http::verb verb = boost::beast::http::verb::unknown;
    /// As received; the only form when `verb` is unknown. Case-sensitive.
    std::string_view method;
    /// As received: origin-form, absolute-form, or `*` with OPTIONS. Give it to `canonicalize`.
    std::string_view target;
    /// Whom the request is for, `host[:port]`: the authority of an absolute-form target, which wins over the Host field
    /// (RFC 9112 3.2.2), else the Host field. Empty only in an HTTP/1.0 request that names none. Forward this one, not
    /// the field.
    std::string_view host;
    /// HTTP/1.1 client waiting for `100 Continue` before it sends the body.
    bool expect_continue = false;

    /// Forgets a head that was left half parsed. Needed only when the next call is not to go on with the same head.
    void reset() noexcept { progress_.at = detail::head_progress::stage::finished; }
};

/// The head of a response. Reuse the object; lifetimes and thread safety as `request_head`.
struct response_head : detail::head {
    /// 100 to 599.
    unsigned status = 0;
    std::string_view reason;
    /// A valid Content-Length is there, though `framing` may be `none`: an answer to HEAD and a 304 keep the field.
    bool has_content_length = false;

    void reset() noexcept { progress_.at = detail::head_progress::stage::finished; }
};

/// Parses the head of a request at the start of `buffer`.
///
/// Incremental: after `need_more`, call again with the same bytes and more behind them (the buffer may have moved);
/// bytes already checked are not looked at again, and a head that can no longer become valid is refused at once. After
/// `complete` or `refused` the next call begins a new head.
///
/// Decided where RFC 9112 leaves a choice: an empty line before the request line is refused; so is any second
/// Content-Length, equal or not, and a list of them; HTTP/1.0 may go without Host; HTTP/1.x with x > 1 is 505; Host
/// takes no percent-encoding; more than 32 names in Connection are refused; an expectation other than 100-continue is
/// 417; `Content_Length` and the like, which CGI-style servers cannot tell from the real field, are refused.
WEIR_DECL parse_result parse_request_head(std::string_view buffer, limits const& limit, request_head& out);

/// Parses the head of a response to a request with method `request_verb`. As `parse_request_head`; every refusal has
/// status 502.
///
/// Body by RFC 9112 6.3: none for 1xx, 204, 304 and HEAD, whatever the fields say; chunked; length; else until the
/// connection closes. A 1xx (but 101) is an interim answer: forward it and parse the next head. `keep_alive` is
/// false also when the framing cannot be trusted for another message, as for a 204 that announces a body.
WEIR_DECL parse_result parse_response_head(std::string_view buffer, limits const& limit,
                                           boost::beast::http::verb request_verb, response_head& out);

/// Whether a field is meant for this connection alone and must not be forwarded (RFC 9110 7.6.1): Connection,
/// Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade,
/// HTTP2-Settings, and every field that Connection names.
///
/// Connection cannot take away what others rely on (Host, Content-Length, Authorization, Cookie, Content-Type,
/// Forwarded, X-Forwarded-*, X-Real-IP, X-Request-Id, Via, traceparent ...): such a name in it is ignored. In requests
/// a field with an underscore in its name counts too, as nginx does by default: CGI-style servers read `X_User_Id` as
/// `X-User-Id`.
inline bool is_hop_by_hop(detail::head const&, field const& each) noexcept { return each.hop_by_hop; }

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/head.ipp>
#endif
