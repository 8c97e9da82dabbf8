#include "proxy/refusal.hpp"

#include "proxy/head_writer.hpp"

#include <weir/http/problem.hpp>

namespace weir::proxy {

void write_refusal(std::string& out, refusal_answer const& what) {
    std::string body;
    http::problem about;
    about.status = what.status;
    about.type = what.status == 429 ? http::quota_exceeded_type : std::string_view{};
    about.detail = what.detail;
    about.request_id = what.request_id;
    about.violated_policies = what.violated;
    http::append_problem(body, about);
    body += '\n';

    out.assign("HTTP/1.1 ");
    append_number(out, what.status);
    out.append(" ").append(http::status_phrase(what.status)).append("\r\nDate: ").append(what.date);
    out.append("\r\nContent-Type: ").append(http::problem_content_type);
    out.append("\r\nCache-Control: no-store\r\nX-Request-Id: ").append(what.request_id).append("\r\n");
    if (!what.allow.empty())
        out.append("Allow: ").append(what.allow).append("\r\n");
    out.append(what.limit_fields).append("Content-Length: ");
    append_number(out, body.size());
    if (!what.keep_alive)
        out.append("\r\nConnection: close");
    else if (what.client_version == 10)
        out.append("\r\nConnection: keep-alive");
    out.append("\r\n\r\n");
    if (!what.head_only)
        out.append(body);
}

} // namespace weir::proxy
