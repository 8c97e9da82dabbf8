#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir::proxy {

/// An answer of our own: nothing came from an upstream.
struct refusal_answer {
    unsigned status = 500;
    /// What happened, for the client.
    std::string_view detail;
    std::string_view request_id;
    std::string_view date;
    /// Methods, for 405.
    std::string_view allow;
    /// Complete field lines about the quota.
    std::string_view limit_fields;
    /// The rules that refused, for 429.
    std::span<std::string_view const> violated;
    bool keep_alive = false;
    unsigned client_version = 11;
    /// An answer to HEAD: the head alone.
    bool head_only = false;
};

/// Writes the whole answer, an application/problem+json document, into `out`.
void write_refusal(std::string& out, refusal_answer const& what);

} // namespace weir::proxy
