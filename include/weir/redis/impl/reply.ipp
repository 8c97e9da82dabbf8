#pragma once

#include <weir/redis/reply.hpp>

namespace weir::redis {

WEIR_DECL void int_sink_base::begin() {
    size_ = 0;
    wrong_ = false;
}

WEIR_DECL void int_sink_base::on_integer(std::int64_t value, int) {
    if (size_ < capacity_)
        values_[size_++] = value;
    else
        wrong_ = true;
}

/// Scripts may give integers as a string, 8 bytes each, big-endian, behind a byte that begins no text: an array costs
/// Redis as much as a command, since it is begun before its size is known.
WEIR_DECL void int_sink_base::on_string(std::string_view text, int depth) {
    if (depth > 0 || text.size() % 8 != 1 || text[0] != '\x80') {
        wrong_ = true;
        return;
    }
    for (text.remove_prefix(1); !text.empty(); text.remove_prefix(8)) {
        std::uint64_t value = 0;
        for (auto const byte : text.substr(0, 8))
            value = value << 8 | static_cast<unsigned char>(byte);
        on_integer(static_cast<std::int64_t>(value), depth);
    }
}

WEIR_DECL void int_sink_base::on_array(std::size_t size, int depth) { wrong_ |= depth > 0 || size > capacity_; }

WEIR_DECL void int_sink_base::on_nil(int) { wrong_ = true; }

WEIR_DECL void int_sink_base::on_error(std::string_view, int) { wrong_ = true; }

WEIR_DECL error_code int_sink_base::finish() {
    if (wrong_ || (exact_ != 0 && size_ != exact_))
        return errc::unexpected_reply;
    return {};
}

WEIR_DECL void string_sink::begin() {
    value_.clear();
    error_text_.clear();
    has_value_ = wrong_ = false;
}

WEIR_DECL void string_sink::on_integer(std::int64_t, int) { wrong_ = true; }

WEIR_DECL void string_sink::on_string(std::string_view text, int) {
    value_ = text;
    has_value_ = true;
}

WEIR_DECL void string_sink::on_array(std::size_t, int) { wrong_ = true; }

WEIR_DECL void string_sink::on_nil(int) {}

WEIR_DECL void string_sink::on_error(std::string_view text, int) { error_text_ = text; }

WEIR_DECL error_code string_sink::finish() { return wrong_ ? error_code{errc::unexpected_reply} : error_code{}; }

WEIR_DECL std::string_view flat_reply::text(node const& of) const noexcept {
    if (of.type != type::string && of.type != type::error)
        return {};
    return std::string_view(texts_).substr(static_cast<std::size_t>(of.value), of.length);
}

WEIR_DECL void flat_reply::begin() {
    nodes_.clear();
    texts_.clear();
}

WEIR_DECL void flat_reply::on_integer(std::int64_t value, int depth) {
    nodes_.push_back({type::integer, static_cast<std::uint8_t>(depth), value, 0});
}

WEIR_DECL void flat_reply::on_string(std::string_view text, int depth) { add_text(type::string, text, depth); }

WEIR_DECL void flat_reply::on_array(std::size_t size, int depth) {
    nodes_.push_back({type::array, static_cast<std::uint8_t>(depth), static_cast<std::int64_t>(size), 0});
}

WEIR_DECL void flat_reply::on_nil(int depth) { nodes_.push_back({type::nil, static_cast<std::uint8_t>(depth), 0, 0}); }

WEIR_DECL void flat_reply::on_error(std::string_view text, int depth) { add_text(type::error, text, depth); }

WEIR_DECL void flat_reply::add_text(type what, std::string_view text, int depth) {
    nodes_.push_back({what, static_cast<std::uint8_t>(depth), static_cast<std::int64_t>(texts_.size()), text.size()});
    texts_ += text;
}

} // namespace weir::redis
