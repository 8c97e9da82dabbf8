#pragma once

#include <weir/redis/command.hpp>
#include <weir/redis/hash_slot.hpp>

#include <array>
#include <charconv>
#include <stdexcept>

namespace weir::redis {
namespace detail {

template <class Integer>
std::string_view to_decimal(Integer value, std::array<char, 24>& buffer) noexcept {
    auto const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

inline void append_count(std::string& to, char type, std::size_t count) {
    std::array<char, 32> line;
    line[0] = type;
    auto* end = std::to_chars(line.data() + 1, line.data() + line.size() - 2, count).ptr;
    *end++ = '\r';
    *end++ = '\n';
    to.append(line.data(), static_cast<std::size_t>(end - line.data()));
}

} // namespace detail

WEIR_DECL command& command::clear() noexcept {
    payload_.clear();
    missing_ = keys_ = first_key_ = 0;
    given_slot_ = no_slot;
    script_ = nullptr;
    return *this;
}

WEIR_DECL command& command::start(std::size_t argument_count) {
    if (!payload_.empty() || argument_count == 0)
        throw std::logic_error("weir::redis::command: a command is begun once, and has at least its name");
    detail::append_count(payload_, '*', argument_count);
    missing_ = argument_count;
    return *this;
}

WEIR_DECL command& command::arg(std::string_view text) {
    if (missing_ == 0)
        throw std::logic_error("weir::redis::command: more arguments than were announced");
    detail::append_count(payload_, '$', text.size());
    payload_.append(text).append("\r\n", 2);
    --missing_;
    return *this;
}

WEIR_DECL command& command::key(std::string_view text) {
    if (keys_++ == 0)
        first_key_ = payload_.size();
    return arg(text);
}

WEIR_DECL command& command::at_slot(std::uint16_t slot) {
    if (slot >= slot_count)
        throw std::logic_error("weir::redis::command: a slot is less than 16384");
    given_slot_ = slot;
    return *this;
}

WEIR_DECL std::optional<std::uint16_t> command::slot() const noexcept {
    std::optional<std::uint16_t> found;
    if (keys_ == 0 && given_slot_ != no_slot)
        found = given_slot_;
    auto rest = std::string_view(payload_).substr(first_key_);
    for (std::size_t i = 0; i < keys_; ++i) {
        std::size_t size = 0;
        auto const line_end = std::from_chars(rest.data() + 1, rest.data() + rest.size(), size).ptr;
        rest.remove_prefix(static_cast<std::size_t>(line_end - rest.data()) + 2);
        auto const slot = hash_slot(rest.substr(0, size));
        if (found && *found != slot)
            return std::nullopt;
        found = slot;
        rest.remove_prefix(size + 2);
    }
    return found;
}

WEIR_DECL command& command::arg_signed(std::int64_t value) {
    std::array<char, 24> digits;
    return arg(detail::to_decimal(value, digits));
}

WEIR_DECL command& command::arg_unsigned(std::uint64_t value) {
    std::array<char, 24> digits;
    return arg(detail::to_decimal(value, digits));
}

WEIR_DECL command& command::evalsha(redis::script const& code, std::size_t key_count, std::size_t arg_count) {
    start(3 + key_count + arg_count).arg("EVALSHA").arg(code.sha1()).arg(key_count);
    script_ = &code;
    keys_ = key_count;
    first_key_ = payload_.size();
    return *this;
}

} // namespace weir::redis
