#include "proxy/answer.hpp"

#include "proxy/head_writer.hpp"

namespace weir::proxy {

void write_answer(std::string& out, answer_head const& head, std::string_view body) {
    out.assign("HTTP/1.1 ");
    append_number(out, head.status);
    out.append(" ").append(http::status_phrase(head.status)).append("\r\nDate: ").append(head.date);
    if (!head.content_type.empty())
        out.append("\r\nContent-Type: ").append(head.content_type);
    out.append("\r\nCache-Control: no-store\r\nX-Request-Id: ").append(head.request_id).append("\r\n");
    if (!head.allow.empty())
        out.append("Allow: ").append(head.allow).append("\r\n");
    out.append(head.extra).append("Content-Length: ");
    append_number(out, body.size());
    if (!head.keep_alive)
        out.append("\r\nConnection: close");
    else if (head.client_version == 10)
        out.append("\r\nConnection: keep-alive");
    out.append("\r\n\r\n");
    if (!head.head_only)
        out.append(body);
}

void write_refusal(std::string& out, answer_head head, refusal_detail const& what) {
    std::string body;
    http::problem about;
    about.status = what.status;
    about.type = what.status == 429 ? http::quota_exceeded_type : std::string_view{};
    about.detail = what.detail;
    about.request_id = head.request_id;
    about.violated_policies = what.violated;
    about.errors = what.errors;
    http::append_problem(body, about);
    body += '\n';
    head.content_type = http::problem_content_type;
    write_answer(out, head, body);
}

} // namespace weir::proxy
