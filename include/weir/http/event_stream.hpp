#pragma once

#include <cstdint>
#include <string_view>

namespace weir::http {

/// Takes the data of server-sent events out of a stream that comes in pieces (WHATWG HTML 9.2.6), holding none of it: a
/// line ends with CR, LF or CRLF, a BOM at the begin is passed over, comments and other fields are skipped, data lines
/// of one event are joined by a line feed, and an event that the end of the stream cuts off is no event.
///
/// Distinct objects: safe; shared objects: unsafe.
class event_stream {
public:
    /// Forgets the stream.
    void reset() noexcept { *this = event_stream{}; }

    /// Takes the next piece. Calls `sink.on_data(std::string_view)` for each part of the data of an event as it comes,
    /// and `sink.on_event()` when the event is complete.
    template <class Sink>
    void feed(std::string_view piece, Sink& sink);

private:
    enum class place : std::uint8_t { begin, bom_1, bom_2, line_start, name, after_colon, data, skipped };

    static constexpr std::string_view field_name = "data";

    template <class Sink>
    std::string_view take(std::string_view rest, Sink& sink);
    template <class Sink>
    void end_line(Sink& sink);
    template <class Sink>
    void begin_data(Sink& sink);

    place at_ = place::begin;
    /// Bytes of the field's name that are matched.
    std::uint8_t matched_ = 0;
    /// The last byte was CR: a LF belongs to the same line end.
    bool after_cr_ = false;
    /// The event has a data line.
    bool has_data_ = false;
};

template <class Sink>
void event_stream::feed(std::string_view piece, Sink& sink) {
    while (!piece.empty()) {
        if (after_cr_) {
            after_cr_ = false;
            if (piece.front() == '\n') {
                piece.remove_prefix(1);
                continue;
            }
        }
        piece = take(piece, sink);
    }
}

template <class Sink>
std::string_view event_stream::take(std::string_view rest, Sink& sink) {
    auto const byte = rest.front();
    if (at_ == place::data || at_ == place::skipped) { // the long parts: up to the end of the line at once
        auto const end = rest.find_first_of("\r\n");
        auto const text = rest.substr(0, end);
        if (at_ == place::data && !text.empty())
            sink.on_data(text);
        if (!text.empty())
            return rest.substr(text.size());
    }
    if (byte == '\r' || byte == '\n') {
        after_cr_ = byte == '\r';
        end_line(sink);
        return rest.substr(1);
    }
    switch (at_) {
    case place::begin:
        at_ = byte == '\xef' ? place::bom_1 : place::line_start;
        return byte == '\xef' ? rest.substr(1) : rest;
    case place::bom_1:
        at_ = byte == '\xbb' ? place::bom_2 : place::skipped; // no field begins so
        return byte == '\xbb' ? rest.substr(1) : rest;
    case place::bom_2:
        at_ = byte == '\xbf' ? place::line_start : place::skipped;
        return byte == '\xbf' ? rest.substr(1) : rest;
    case place::line_start:
        at_ = place::name;
        matched_ = 0;
        return rest;
    case place::name:
        if (matched_ < field_name.size() && byte == field_name[matched_]) {
            ++matched_;
        } else if (matched_ == field_name.size() && byte == ':') {
            at_ = place::after_colon;
            begin_data(sink);
        } else {
            at_ = place::skipped; // another field, or a comment
        }
        return rest.substr(1);
    case place::after_colon:
        at_ = place::data;
        return byte == ' ' ? rest.substr(1) : rest;
    case place::data:
    case place::skipped:
        break;
    }
    return rest;
}

template <class Sink>
void event_stream::begin_data(Sink& sink) {
    if (has_data_)
        sink.on_data("\n");
    has_data_ = true;
}

template <class Sink>
void event_stream::end_line(Sink& sink) {
    bool const blank = at_ == place::line_start || at_ == place::begin;
    if (at_ == place::name && matched_ == field_name.size())
        begin_data(sink); // a field without colon: an empty line of data
    at_ = place::line_start;
    if (blank && has_data_) {
        has_data_ = false;
        sink.on_event();
    }
}

} // namespace weir::http
