#pragma once

#include <weir/http/limit_answer.hpp>
#include <weir/http/passage.hpp>
#include <weir/http/problem.hpp>

#include <array>
#include <utility>

namespace weir::http {
namespace detail {

/// Sets the fields of whole lines on a message; each line ends in CRLF.
inline void set_fields(boost::beast::http::fields& to, std::string_view lines) {
    while (!lines.empty()) {
        auto const end = lines.find("\r\n"), colon = lines.find(": ");
        to.set(lines.substr(0, colon), lines.substr(colon + 2, end - colon - 2));
        lines.remove_prefix(end + 2);
    }
}

} // namespace detail

WEIR_DECL passage::~passage() = default;

WEIR_DECL void passage::refuse(unsigned status, std::string detail) {
    status_ = status;
    detail_ = std::move(detail);
    if (reserved_)
        reserved_->use(0); // nothing was done
    leave_.release();
    give_back();
}

WEIR_DECL passage::text_response passage::refusal(request_header const& request, std::string_view request_id) const {
    std::array<std::string_view, max_rules_per_check> violated;
    problem about;
    about.status = status_;
    about.detail = detail_;
    about.request_id = request_id;
    if (status_ == 429) {
        about.type = quota_exceeded_type;
        about.violated_policies = std::span{violated}.first(name_violated(decision_, violated));
    }
    text_response answer{static_cast<boost::beast::http::status>(status_), request.version()};
    append_problem(answer.body(), about);
    answer.body() += '\n';
    answer.set(boost::beast::http::field::content_type, problem_content_type);
    answer.set(boost::beast::http::field::cache_control, "no-store");
    announce(answer);
    if (!request_id.empty())
        answer.set("X-Request-Id", request_id);
    auto connection = boost::beast::http::token_list{request[boost::beast::http::field::connection]};
    answer.keep_alive(request.version() >= 11 ? !connection.exists("close") : connection.exists("keep-alive"));
    answer.content_length(answer.body().size());
    if (request.method() == boost::beast::http::verb::head)
        answer.body().clear(); // its length stays
    return answer;
}

WEIR_DECL void passage::used(std::uint64_t units) noexcept {
    if (reserved_)
        reserved_->use(units);
}

WEIR_DECL void passage::announce(response_header& head) const { detail::set_fields(head, fields_); }

WEIR_DECL void passage::end(unsigned status) noexcept {
    if (status >= 500)
        leave_.failure("status " + std::to_string(status));
    else
        leave_.success();
    give_back();
}

WEIR_DECL void passage::leave(response_header& head) {
    announce(head);
    end(head.result_int());
}

WEIR_DECL void passage::fail(std::string_view why) noexcept {
    leave_.failure(why);
    give_back();
}

} // namespace weir::http
