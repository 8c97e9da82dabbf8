#pragma once

#include <weir/http/detail/media_type.hpp>
#include <weir/http/usage_reader.hpp>

namespace weir::http {

WEIR_DECL void usage_reader::start(response_head const& head) noexcept {
    using boost::beast::http::field;
    json_.reset();
    events_.reset();
    value_.reset();
    state_ = usage_state::absent;
    auto const coding = head.find(field::content_encoding);
    auto const type = head.find(field::content_type);
    type_ = detail::is_event_stream(type)    ? body_type::events
            : detail::is_based_on_json(type) ? body_type::json
                                             : body_type::none;
    if (type_ == body_type::none)
        state_ = usage_state::other_type;
    if (!coding.empty() && !detail::equals_ignoring_case(coding, "identity")) {
        type_ = body_type::none;
        state_ = usage_state::encoded;
    }
}

WEIR_DECL void usage_reader::feed(std::string_view piece) {
    if (type_ == body_type::events) {
        events_.feed(piece, *this);
    } else if (type_ == body_type::json) {
        json_.feed(piece);
        value_ = json_.value();
    }
}

WEIR_DECL void usage_reader::on_event() {
    if (json_.finish()) {
        take_state(true);
        if (auto const found = json_.value())
            value_ = found;
    }
    json_.reset();
}

WEIR_DECL void usage_reader::finish() {
    if (type_ != body_type::json)
        return;
    bool const complete = json_.finish();
    value_ = json_.value(); // a number that is the whole document ends with it
    take_state(complete);
}

WEIR_DECL void usage_reader::take_state(bool complete) noexcept {
    switch (json_.state()) {
    case number_state::found:
        break;
    case number_state::absent:
        if (!complete)
            state_ = json_.malformed() ? usage_state::malformed : usage_state::incomplete;
        break;
    case number_state::no_number:
        state_ = usage_state::no_number;
        break;
    case number_state::negative:
        state_ = usage_state::negative;
        break;
    case number_state::too_large:
        state_ = usage_state::too_large;
        break;
    }
}

} // namespace weir::http
