#include "proxy/response_copy.hpp"

#include "proxy/head_writer.hpp"

#include <weir/http/detail/media_type.hpp>

#include <algorithm>
#include <array>
#include <limits>

namespace weir::proxy {
namespace {

using beast_field = boost::beast::http::field;

/// What describes the answer or what it is about. Not what is one client's alone, such as Set-Cookie.
constexpr std::array kept_fields{
    beast_field::allow,
    beast_field::cache_control,
    beast_field::content_disposition,
    beast_field::content_encoding,
    beast_field::content_language,
    beast_field::content_location,
    beast_field::content_type,
    beast_field::date,
    beast_field::etag,
    beast_field::expires,
    beast_field::last_modified,
    beast_field::link,
    beast_field::location,
    beast_field::retry_after,
    beast_field::vary,
};

bool is_kept(http::field const& each, std::span<std::string const> more) noexcept {
    if (each.hop_by_hop)
        return false;
    if (each.id != beast_field::unknown &&
        std::find(kept_fields.begin(), kept_fields.end(), each.id) != kept_fields.end())
        return true;
    return std::any_of(more.begin(), more.end(),
                       [&](std::string const& name) { return http::detail::equals_ignoring_case(each.name, name); });
}

} // namespace

void response_copy::begin(http::response_head const& head, boost::beast::http::verb method) {
    status_ = head.status;
    body_.clear();
    head_.assign("HTTP/1.1 ");
    append_number(head_, head.status);
    head_.append(" ").append(head.reason).append("\r\n");
    for (auto const& each : head.fields())
        if (is_kept(each, more_))
            head_.append(each.name).append(": ").append(each.value).append("\r\n");
    bodiless_ = method == boost::beast::http::verb::head || head.status == 204 || head.status == 304;
    length_.reset();
    if (bodiless_ && head.has_content_length && head.status != 204)
        length_ = head.content_length;
    bool const known = head.framing == http::body_framing::length;
    too_much_ = (known && head.content_length > max_body_) ||
                http::detail::is_event_stream(head.find(beast_field::content_type));
}

void response_copy::take(std::string_view piece) {
    if (too_much_)
        return;
    too_much_ = piece.size() > max_body_ - body_.size();
    if (!too_much_)
        body_.append(piece);
}

std::string response_copy::text() const {
    auto text = head_;
    if (!bodiless_ || length_) {
        text.append("Content-Length: ");
        append_number(text, length_.value_or(body_.size()));
        text.append("\r\n");
    }
    text.append("\r\n").append(body_);
    return text;
}

bool read_copy(std::string_view text, boost::beast::http::verb method, read_response& into) {
    constexpr auto any = std::numeric_limits<std::size_t>::max();
    into.head.reset();
    auto const parsed = http::parse_response_head(text, {any, any, any}, method, into.head);
    if (parsed.state != http::parse_state::complete)
        return false;
    into.body = text.substr(parsed.consumed);
    return true;
}

} // namespace weir::proxy
