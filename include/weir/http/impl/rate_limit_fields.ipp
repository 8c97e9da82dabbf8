#pragma once

#include <weir/http/rate_limit_fields.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace weir::http {
namespace detail {

inline void append_integer(std::string& out, std::uint64_t value) {
    constexpr std::uint64_t largest = 999'999'999'999'999;
    std::array<char, 20> buffer;
    auto const end = std::to_chars(buffer.begin(), buffer.end(), std::min(value, largest)).ptr;
    out.append(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
}

inline std::uint64_t whole_seconds(std::chrono::milliseconds time) noexcept {
    return time.count() <= 0 ? 0 : static_cast<std::uint64_t>((time.count() - 1) / 1000 + 1);
}

/// A String of RFC 9651 3.3.3.
inline void append_quoted(std::string& out, std::string_view text) {
    auto const plain = [](char byte) { return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\'; };
    out += '"';
    if (std::all_of(text.begin(), text.end(), plain)) {
        out += text;
    } else {
        for (char byte : text) {
            if (byte == '"' || byte == '\\')
                out += '\\';
            out += byte >= ' ' && byte <= '~' ? byte : '?';
        }
    }
    out += '"';
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

inline void append_draft11(std::string& out, quota_report const& report) {
    std::string_view separator = "RateLimit-Policy: ";
    for (auto const& rule : report.rules) {
        out += separator;
        append_quoted(out, rule.name);
        out += std::string_view{";q="};
        append_integer(out, rule.limit);
        out += std::string_view{";w="};
        append_integer(out, whole_seconds(rule.window));
        separator = ", ";
    }
    separator = "\r\nRateLimit: ";
    for (auto const& rule : report.rules) {
        out += separator;
        append_quoted(out, rule.name);
        out += std::string_view{";r="};
        append_integer(out, rule.remaining);
        if (auto const reset = reset_seconds(report, rule)) {
            out += std::string_view{";t="};
            append_integer(out, *reset);
        }
        separator = ", ";
    }
    out += std::string_view{"\r\n"};
}

inline void append_legacy(std::string& out, quota_report const& report) {
    auto const& rule = report.rules[std::min(report.binding, report.rules.size() - 1)];
    out += std::string_view{"X-RateLimit-Limit: "};
    append_integer(out, rule.limit);
    out += std::string_view{"\r\nX-RateLimit-Remaining: "};
    append_integer(out, rule.remaining);
    if (auto const reset = reset_seconds(report, rule)) {
        out += std::string_view{"\r\nX-RateLimit-Reset: "};
        append_integer(out, *reset);
    }
    out += std::string_view{"\r\n"};
}

} // namespace detail

WEIR_DECL void append_rate_limit_fields(std::string& out, quota_report const& report, rate_limit_style style) {
    if (!report.rules.empty()) {
        if (style == rate_limit_style::draft11 || style == rate_limit_style::both)
            detail::append_draft11(out, report);
        if (style == rate_limit_style::legacy || style == rate_limit_style::both)
            detail::append_legacy(out, report);
    }
    if (!report.allowed && report.retry_after) {
        out += std::string_view{"Retry-After: "};
        detail::append_integer(out, detail::retry_seconds(report));
        out += std::string_view{"\r\n"};
    }
}

} // namespace weir::http
