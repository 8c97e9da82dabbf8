#pragma once

#include <weir/http/json_string.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::http::detail {

/// Appends to a string: heads and log lines are many short pieces, each of which costs a copy and nothing else here.
/// The string is to be looked at when the writer has gone. Throws std::bad_alloc and std::length_error as the string
/// does.
class text_writer {
public:
    /// Makes room for so many bytes at first, and for more where they do not suffice. The string fills it with zeros:
    /// as many as are likely to be used.
    explicit text_writer(std::string& out, std::size_t room = step)
        : out_(out) {
        make_room(out.size(), room);
    }
    ~text_writer() { out_.resize(size()); } // never more than it has
    text_writer(text_writer const&) = delete;
    text_writer& operator=(text_writer const&) = delete;

    /// Inlined wherever it is called, so that a literal is stored rather than copied by a call.
    [[gnu::always_inline]] text_writer& add(std::string_view text) {
        std::char_traits<char>::copy(take(text.size()), text.data(), text.size());
        return *this;
    }

    text_writer& add(char byte) {
        *take(1) = byte;
        return *this;
    }

    /// In decimal.
    text_writer& add_number(std::uint64_t value) {
        if (value < 10)
            return add(static_cast<char>('0' + value));
        constexpr std::size_t longest = 20;
        auto* const begin = take(longest);
        at_ = std::to_chars(begin, begin + longest, value).ptr;
        return *this;
    }

    /// Seconds with six decimals, from an integer: no float, no locale. What is negative is 0.
    text_writer& add_seconds(std::chrono::nanoseconds time) {
        auto const us = static_cast<std::uint64_t>(
            std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(time).count()));
        add_number(us / 1'000'000);
        auto* const begin = take(7);
        begin[0] = '.';
        auto rest = static_cast<std::uint32_t>(us % 1'000'000);
        for (int i = 6; i > 0; --i, rest /= 10)
            begin[i] = static_cast<char>('0' + rest % 10);
        return *this;
    }

    /// Between quotes. Precondition: `is_plain_json(text)`.
    [[gnu::always_inline]] text_writer& add_plain_json(std::string_view text) {
        auto* const begin = take(text.size() + 2);
        begin[0] = begin[text.size() + 1] = '"';
        std::char_traits<char>::copy(begin + 1, text.data(), text.size());
        return *this;
    }

    /// As a JSON string with its quotes.
    text_writer& add_json(std::string_view text) {
        if (http::is_plain_json(text)) [[likely]]
            return add_plain_json(text);
        std::string escaped;
        http::append_json_string(escaped, text);
        return add(escaped);
    }

private:
    static constexpr std::size_t step = 512; // most heads and lines of a log

    std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - out_.data()); }

    /// That many bytes, to be written to.
    [[gnu::always_inline]] char* take(std::size_t n) {
        if (static_cast<std::size_t>(end_ - at_) < n) [[unlikely]]
            make_room(size(), std::max(n, step));
        auto* const begin = at_;
        at_ += n;
        return begin;
    }

    [[gnu::noinline]] void make_room(std::size_t size, std::size_t more) {
        out_.resize(size + more);
        at_ = out_.data() + size;
        end_ = at_ + more;
    }

    std::string& out_;
    char* at_ = nullptr;
    char* end_ = nullptr;
};

} // namespace weir::http::detail
