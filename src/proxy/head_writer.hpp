#pragma once

#include "proxy/ids.hpp"

#include <weir/http/client_address.hpp>
#include <weir/http/head.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::proxy {

/// What the heads we write say about the client.
struct client_info {
    /// The address at the other end of the connection, as text.
    std::string_view peer;
    /// It is a trusted proxy: what it forwarded is added to, not replaced.
    bool trusted = false;
    /// The body of the answer is read here: it must come without a content coding.
    bool plain_answer = false;
    /// It speaks TLS with us.
    bool secure = false;
    /// What else we say to the upstream: complete lines.
    std::string_view extra = {};
    /// The protocols to which it may switch, as a list; empty: none.
    std::string_view upgrade = {};
};

/// How a body leaves: our own decision, never the framing it came with.
struct outgoing_body {
    http::body_framing framing = http::body_framing::none;
    std::uint64_t length = 0;
};

/// Takes the request id of the client if it is sane, else makes one.
void choose_request_id(http::request_head const& request, id_source& ids, std::string& out);

/// Writes the head of the request as the upstream gets it into `to`: the canonical target, Host, the client's fields
/// without those of its connection, and ours (Via, X-Forwarded-*, Forwarded, X-Request-Id, traceparent, framing).
void write_request_head(std::string& to, http::request_head const& request, std::string_view path,
                        std::string_view query, bool has_query, client_info const& client, outgoing_body body,
                        std::string_view request_id, id_source& ids);

/// What we say in the head of an answer beside what the upstream said.
struct reply_fields {
    std::string_view request_id;
    /// IMF-fixdate, for an upstream that sent none.
    std::string_view date;
    /// Complete field lines, as `http::rate_limit_fields` renders them.
    std::string_view extra;
    bool keep_alive = false;
    /// HTTP/1.0 must be told that the connection stays.
    unsigned client_version = 11;
};

/// Writes the head of the upstream's response as the client gets it into `to`.
void write_response_head(std::string& to, http::response_head const& response, outgoing_body body,
                         reply_fields const& ours);

/// Writes the head by which the upstream switched to one of the protocols it was offered, as the client gets it, into
/// `to`.
void write_switch_head(std::string& to, http::response_head const& response, reply_fields const& ours);

/// Writes an interim response (1xx) as the client gets it into `to`.
void write_interim_head(std::string& to, http::response_head const& response);

/// Appends `value` in decimal.
void append_number(std::string& out, std::uint64_t value);

} // namespace weir::proxy
