#pragma once

#include <weir/http/event_stream.hpp>
#include <weir/http/head.hpp>
#include <weir/http/json_number_reader.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::http {

/// What a response said of its usage.
enum class usage_state : std::uint8_t {
    found,
    /// Nothing stands at the pointer.
    absent,
    /// What stands at the pointer is not a number.
    no_number,
    negative,
    /// Above 2^53.
    too_large,
    /// The body ended before the JSON did.
    incomplete,
    /// The body is no JSON.
    malformed,
    /// Neither JSON nor an event stream.
    other_type,
    /// A content coding (gzip, br ...) is on it, and none is taken off.
    encoded,
};

/// A word for logs and metrics.
constexpr std::string_view to_string(usage_state value) noexcept {
    switch (value) {
    case usage_state::found:
        return "found";
    case usage_state::absent:
        return "absent";
    case usage_state::no_number:
        return "no_number";
    case usage_state::negative:
        return "negative";
    case usage_state::too_large:
        return "too_large";
    case usage_state::incomplete:
        return "incomplete";
    case usage_state::malformed:
        return "malformed";
    case usage_state::other_type:
        return "other_type";
    case usage_state::encoded:
        break;
    }
    return "encoded";
}

/// Reads what a response used (tokens of a language model) from its body as that streams by, at constant memory: the
/// number at a JSON pointer, of a JSON document or of the last server-sent event that has one. Events that are no JSON
/// (`[DONE]`) are passed over. How numbers are taken: `json_number_reader`.
///
/// Reuse the object. Distinct objects: safe; shared objects: unsafe.
class usage_reader {
public:
    /// `where` must outlive the reader.
    explicit usage_reader(json_pointer const& where)
        : json_(where) {}

    /// Begins with the response of that head: application/json or any `+json`, or text/event-stream; others, and what
    /// has a content coding, are not read.
    WEIR_DECL void start(response_head const& head) noexcept;

    /// Takes the next piece of the body, framing taken off.
    WEIR_DECL void feed(std::string_view piece);

    /// The body has ended, cleanly or not.
    WEIR_DECL void finish();

    /// What was seen up to now; stays when the body breaks off.
    std::optional<std::uint64_t> value() const noexcept { return value_; }

    /// Why there is no value, after finish().
    usage_state state() const noexcept { return value_ ? usage_state::found : state_; }

private:
    friend class event_stream;
    enum class body_type : std::uint8_t { none, json, events };

    // What an event stream consists of.
    void on_data(std::string_view part) { json_.feed(part); }
    WEIR_DECL void on_event();

    WEIR_DECL void take_state(bool complete) noexcept;

    json_number_reader json_;
    event_stream events_;
    body_type type_ = body_type::none;
    usage_state state_ = usage_state::absent;
    std::optional<std::uint64_t> value_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/usage_reader.ipp>
#endif
