#pragma once

#include <weir/http/problem.hpp>

#include <span>
#include <string>
#include <string_view>

namespace weir::proxy {

/// The head of an answer of our own: nothing came from an upstream.
struct answer_head {
    unsigned status = 500;
    std::string_view date;
    std::string_view request_id;
    std::string_view content_type;
    /// Methods, for 405.
    std::string_view allow;
    /// Complete field lines.
    std::string_view extra;
    bool keep_alive = false;
    unsigned client_version = 11;
    /// An answer to HEAD: the head alone.
    bool head_only = false;
};

/// Writes the whole answer into `out`.
void write_answer(std::string& out, answer_head const& head, std::string_view body);

/// What a refused client is told.
struct refusal_detail {
    /// What the document says; the head may put it another way.
    unsigned status = 500;
    /// What happened.
    std::string_view detail = {};
    /// The rules that refused, for 429.
    std::span<std::string_view const> violated = {};
    /// What is wrong in the body that was sent.
    std::span<http::problem_error const> errors = {};
};

/// Writes the whole answer, an application/problem+json document, into `out`; `head.content_type` is not looked at.
void write_refusal(std::string& out, answer_head head, refusal_detail const& what);

} // namespace weir::proxy
