#pragma once

#include <weir/http/detail/text_writer.hpp>
#include <weir/http/rate_limit_fields.hpp>

#include <algorithm>

namespace weir::http {
namespace detail {

/// An Integer of RFC 9651 3.3.1.
inline void add_integer(text_writer& out, std::uint64_t value) {
    constexpr std::uint64_t largest = 999'999'999'999'999;
    out.add_number(std::min(value, largest));
}

inline std::uint64_t whole_seconds(std::chrono::milliseconds time) noexcept {
    return time.count() <= 0 ? 0 : static_cast<std::uint64_t>((time.count() - 1) / 1000 + 1);
}

/// A String of RFC 9651 3.3.3.
inline void add_quoted(text_writer& out, std::string_view text) {
    if (is_plain_json(text)) { // the same bytes stand for themselves there
        out.add_plain_json(text);
        return;
    }
    out.add('"');
    for (char const byte : text) {
        if (byte == '"' || byte == '\\')
            out.add('\\');
        out.add(byte >= ' ' && byte <= '~' ? byte : '?');
    }
    out.add('"');
}

inline std::uint64_t retry_seconds(quota_report const& report) noexcept {
    return std::max<std::uint64_t>(1, whole_seconds(*report.retry_after));
}

/// None when waiting does not help.
inline std::optional<std::uint64_t> reset_seconds(quota_report const& report, quota const& rule) noexcept {
    auto const reset = whole_seconds(rule.reset_after);
    if (report.allowed || rule.allowed)
        return reset;
    if (!report.retry_after)
        return {};
    return std::min(reset, retry_seconds(report));
}

inline void add_draft11(text_writer& out, quota_report const& report) {
    std::string_view separator = "RateLimit-Policy: ";
    for (auto const& rule : report.rules) {
        out.add(separator);
        add_quoted(out, rule.name);
        add_integer(out.add(";q="), rule.limit);
        add_integer(out.add(";w="), whole_seconds(rule.window));
        separator = ", ";
    }
    separator = "\r\nRateLimit: ";
    for (auto const& rule : report.rules) {
        out.add(separator);
        add_quoted(out, rule.name);
        add_integer(out.add(";r="), rule.remaining);
        if (auto const reset = reset_seconds(report, rule))
            add_integer(out.add(";t="), *reset);
        separator = ", ";
    }
    out.add("\r\n");
}

inline void add_legacy(text_writer& out, quota_report const& report) {
    auto const& rule = report.rules[std::min(report.binding, report.rules.size() - 1)];
    add_integer(out.add("X-RateLimit-Limit: "), rule.limit);
    add_integer(out.add("\r\nX-RateLimit-Remaining: "), rule.remaining);
    if (auto const reset = reset_seconds(report, rule))
        add_integer(out.add("\r\nX-RateLimit-Reset: "), *reset);
    out.add("\r\n");
}

} // namespace detail

WEIR_DECL void append_rate_limit_fields(std::string& out, quota_report const& report, rate_limit_style style) {
    detail::text_writer lines(out);
    if (!report.rules.empty()) {
        if (style == rate_limit_style::draft11 || style == rate_limit_style::both)
            detail::add_draft11(lines, report);
        if (style == rate_limit_style::legacy || style == rate_limit_style::both)
            detail::add_legacy(lines, report);
    }
    if (!report.allowed && report.retry_after) {
        detail::add_integer(lines.add("Retry-After: "), detail::retry_seconds(report));
        lines.add("\r\n");
    }
}

} // namespace weir::http
