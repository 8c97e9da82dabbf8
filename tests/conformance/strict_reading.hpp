#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// How RFC 9112 to the letter reads the bytes of a connection: an implementation of its own, which shares nothing with
// the one under test and is as plain as can be.
namespace weir::test {

struct read_request {
    std::string method, target, body;
    /// A field Connection has "close" somewhere in it, as a token or within another: nginx reads no further then.
    bool may_be_last = false;
};

class strict_reading {
public:
    /// The complete requests up to the first doubt.
    static std::vector<read_request> of(std::string_view bytes) {
        strict_reading reading{bytes};
        std::vector<read_request> all;
        bool more = true;
        while (more) {
            read_request one;
            if (!reading.head(one) || !reading.body(one))
                break;
            // RFC 9112, 9.3
            more = !reading.closes_ && (!reading.old_ || reading.keeps_);
            all.push_back(std::move(one));
        }
        return all;
    }

private:
    explicit strict_reading(std::string_view bytes)
        : left_(bytes) {}

    static std::string lower(std::string_view text) {
        std::string out(text);
        std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
        return out;
    }

    static bool is_token(std::string_view text) {
        return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
            return std::isalnum(c) != 0 ||
                   std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
        });
    }

    static std::string_view trim(std::string_view text) {
        auto const first = text.find_first_not_of(" \t");
        return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(" \t") - first + 1);
    }

    bool line(std::string_view& out) {
        auto const end = left_.find("\r\n");
        if (end == left_.npos)
            return false;
        out = left_.substr(0, end);
        left_.remove_prefix(end + 2);
        return std::none_of(out.begin(), out.end(), [](unsigned char c) { return (c < 32 && c != '\t') || c == 127; });
    }

    /// Whether a list names the token; both in lower case.
    static bool names(std::string_view list, std::string_view token) {
        for (;;) {
            auto const comma = list.find(',');
            if (trim(list.substr(0, comma)) == token)
                return true;
            if (comma == list.npos)
                return false;
            list.remove_prefix(comma + 1);
        }
    }

    bool head(read_request& out) {
        std::string_view start;
        if (!line(start) || start.size() < 12)
            return false;
        auto const version = start.substr(start.size() - 9);
        auto const space = start.find(' ');
        if ((version != " HTTP/1.1" && version != " HTTP/1.0") || space + 1 >= start.size() - 9)
            return false;
        out.method = start.substr(0, space);
        out.target = start.substr(space + 1, start.size() - 9 - space - 1);
        if (!is_token(out.method) || out.target.find_first_of(" \t") != std::string::npos)
            return false;
        old_ = version == " HTTP/1.0";
        chunked_ = closes_ = keeps_ = false;
        length_.reset();
        hosts_ = 0;
        for (std::string_view each; line(each);) {
            if (each.empty())
                return hosts_ <= 1 && (old_ || hosts_ == 1) && !(chunked_ && (length_ || old_));
            if (!field(each, out))
                return false;
        }
        return false;
    }

    bool field(std::string_view text, read_request& of) {
        auto const colon = text.find(':');
        if (colon == text.npos || !is_token(text.substr(0, colon)))
            return false;
        auto const name = lower(text.substr(0, colon));
        auto const value = lower(trim(text.substr(colon + 1)));
        if (name == "host")
            ++hosts_;
        if (name == "content-length") {
            bool const digits = !value.empty() && value.size() < 10 &&
                                std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
            if (length_ || !digits)
                return false;
            length_ = std::stoull(value);
        }
        if (name == "transfer-encoding") {
            if (chunked_ || value != "chunked")
                return false;
            chunked_ = true;
        }
        if (name == "connection") {
            closes_ = closes_ || names(value, "close");
            keeps_ = keeps_ || names(value, "keep-alive");
            of.may_be_last = of.may_be_last || value.find("close") != value.npos;
        }
        return true;
    }

    bool body(read_request& out) {
        if (!chunked_)
            return take(length_.value_or(0), out.body);
        for (;;) {
            std::string_view size_line, end;
            if (!line(size_line))
                return false;
            auto const digits = size_line.substr(0, size_line.find_first_not_of("0123456789abcdefABCDEF"));
            auto const rest = size_line.substr(digits.size());
            if (digits.empty() || digits.size() > 8 || !(rest.empty() || trim(rest).starts_with(';')))
                return false;
            auto const size = std::stoull(std::string(digits), nullptr, 16);
            if (size == 0)
                break;
            if (!take(size, out.body) || !line(end) || !end.empty())
                return false;
        }
        for (std::string_view trailer; line(trailer);)
            if (trailer.empty())
                return true;
        return false;
    }

    bool take(std::uint64_t n, std::string& out) {
        if (left_.size() < n)
            return false;
        out.append(left_.substr(0, n));
        left_.remove_prefix(n);
        return true;
    }

    std::string_view left_;
    std::optional<std::uint64_t> length_;
    int hosts_ = 0;
    bool chunked_ = false;
    bool closes_ = false, keeps_ = false;
    bool old_ = false;
};

} // namespace weir::test
