#pragma once

#include <weir/http/json_string.hpp>
#include <weir/http/problem.hpp>

#include <boost/beast/http/status.hpp>

namespace weir::http {

WEIR_DECL std::string_view status_phrase(unsigned status) noexcept {
    auto const known = boost::beast::http::int_to_status(status);
    if (known == boost::beast::http::status::unknown)
        return "Unknown";
    auto const phrase = boost::beast::http::obsolete_reason(known);
    return {phrase.data(), phrase.size()};
}

WEIR_DECL void append_problem(std::string& out, problem const& what) {
    auto const member = [&](std::string_view name, std::string_view value) {
        if (value.empty())
            return;
        out += ",\"";
        out += name;
        out += "\":";
        append_json_string(out, value);
    };
    auto title = what.title;
    if (title.empty())
        title = what.type == quota_exceeded_type ? "Request cannot be satisfied as assigned quota has been exceeded"
                                                 : status_phrase(what.status);
    out += "{\"type\":";
    append_json_string(out, what.type.empty() ? std::string_view{"about:blank"} : what.type);
    member("title", title);
    out += ",\"status\":";
    out += std::to_string(what.status);
    member("detail", what.detail);
    if (!what.violated_policies.empty()) {
        out += ",\"violated-policies\":[";
        for (std::size_t i = 0; i < what.violated_policies.size(); ++i) {
            if (i != 0)
                out += ',';
            append_json_string(out, what.violated_policies[i]);
        }
        out += ']';
    }
    if (!what.errors.empty()) {
        out += ",\"errors\":[";
        for (auto const& each : what.errors) {
            out += &each == what.errors.data() ? "{\"pointer\":" : ",{\"pointer\":";
            append_json_string(out, each.pointer);
            member("detail", each.detail);
            out += '}';
        }
        out += ']';
    }
    member("request_id", what.request_id);
    out += '}';
}

} // namespace weir::http
