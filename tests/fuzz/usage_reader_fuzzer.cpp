// Numbers out of JSON from any bytes, in pieces that the input chooses, compared with nlohmann-json; and out of event
// streams, compared with the same stream in one piece.
#include <weir/http/event_stream.hpp>
#include <weir/http/usage_reader.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace weir::http;
using nlohmann::json;

void require(bool holds) {
    if (!holds)
        std::abort();
}

struct result {
    bool complete = false;
    number_state state = number_state::absent;
    std::optional<std::uint64_t> value;
    bool operator==(result const&) const = default;
};

result read(json_pointer const& where, std::string_view text, std::size_t piece) {
    json_number_reader reader(where);
    for (std::size_t at = 0; at < text.size(); at += piece)
        reader.feed(text.substr(at, piece));
    result got;
    got.complete = reader.finish();
    got.state = reader.state();
    got.value = reader.value();
    return got;
}

/// What must be read at `where` of a whole document.
result expected(json const& document, json_pointer const& where) {
    result want;
    want.complete = true;
    auto const* at = &document;
    for (auto const& step : where.steps()) {
        if (at->is_object() && at->contains(step)) {
            at = &at->at(step);
        } else if (at->is_array() && !step.empty() && step.find_first_not_of("0123456789") == step.npos &&
                   (step.size() == 1 || step[0] != '0') && step.size() < 10 && std::stoul(step) < at->size()) {
            at = &at->at(std::stoul(step));
        } else {
            return want;
        }
    }
    if (!at->is_number()) {
        want.state = number_state::no_number;
        return want;
    }
    auto const number = at->get<double>();
    bool const whole = at->is_number_unsigned() || at->is_number_integer();
    if (number < 0)
        want.state = number_state::negative;
    else if (whole ? at->get<std::uint64_t>() > largest_number
                   : std::ceil(number) > static_cast<double>(largest_number))
        want.state = number_state::too_large;
    else
        want.state = number_state::found;
    if (want.state == number_state::found)
        want.value = whole ? at->get<std::uint64_t>() : static_cast<std::uint64_t>(std::ceil(number));
    return want;
}

std::size_t depth_of(std::string_view text) {
    std::size_t depth = 0, most = 0;
    for (char byte : text) {
        depth += byte == '[' || byte == '{' ? 1 : 0;
        most = std::max(most, depth);
        depth -= (byte == ']' || byte == '}') && depth != 0 ? 1 : 0;
    }
    return most;
}

/// Whether there is a number whose exponent has so many digits that Boost.JSON does not count them: it refuses even
/// 0e9999999999.
bool has_endless_exponent(std::string_view text) {
    for (std::size_t at = text.find_first_of("eE"); at != text.npos; at = text.find_first_of("eE", at + 1)) {
        auto const digits = text.find_first_not_of("+-", at + 1);
        auto const end = text.find_first_not_of("0123456789", digits);
        if (digits != text.npos && (end == text.npos ? text.size() : end) - digits > 8)
            return true;
    }
    return false;
}

struct events {
    std::vector<std::string> all;
    std::string data;
    void on_data(std::string_view part) { data += part; }
    void on_event() {
        all.push_back(data);
        data.clear();
    }
};

void check_events(std::string_view text, std::size_t piece) {
    event_stream stream;
    events whole, parts;
    stream.feed(text, whole);
    stream.reset();
    for (std::size_t at = 0; at < text.size(); at += piece)
        stream.feed(text.substr(at, piece), parts);
    require(whole.all == parts.all && whole.data == parts.data);

    static json_pointer const where{"/usage/total_tokens"};
    static std::string const head_text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    response_head head;
    require(parse_response_head(head_text, {}, boost::beast::http::verb::get, head).state == parse_state::complete);
    usage_reader at_once(where), in_parts(where);
    at_once.start(head);
    at_once.feed(text);
    at_once.finish();
    in_parts.start(head);
    for (std::size_t at = 0; at < text.size(); at += piece)
        in_parts.feed(text.substr(at, piece));
    in_parts.finish();
    require(at_once.value() == in_parts.value() && at_once.state() == in_parts.state());
    std::optional<std::uint64_t> last;
    for (auto const& event : whole.all)
        if (auto const got = read(where, event, event.size() + 1); got.complete && got.value)
            last = got.value;
    require(at_once.value() == last);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    static json_pointer const pointers[] = {json_pointer{"/usage/total_tokens"},
                                            json_pointer{""},
                                            json_pointer{"/a"},
                                            json_pointer{"/0"},
                                            json_pointer{"/1/a"},
                                            json_pointer{"/a/0/a"},
                                            json_pointer{"/a/a"},
                                            json_pointer{"/"}};
    if (size < 1)
        return 0;
    auto const& where = pointers[data[0] % 8];
    std::size_t const piece = 1 + data[0] / 8;
    std::string_view const text{reinterpret_cast<char const*>(data) + 1, size - 1};
    auto const whole = read(where, text, text.size() + 1);
    require(whole == read(where, text, piece));
    require(whole.value.has_value() == (whole.state == number_state::found));
    check_events(text, piece);

    if (text.starts_with("\xef\xbb\xbf") || text.find('\0') != text.npos || depth_of(text) > 250 ||
        has_endless_exponent(text))
        return 0; // the other one passes a BOM over, takes a NUL for the end, nests and counts without end
    auto const document = json::parse(text, nullptr, false);
    if (!document.is_discarded()) {
        require(whole == expected(document, where));
    } else if (whole.complete && text.find_first_of("eE") == text.npos && text.size() < 300) {
        // Beside numbers that no double holds, only bytes that are no UTF-8 are taken here and refused there.
        std::string ascii(text);
        for (char& byte : ascii)
            byte = static_cast<unsigned char>(byte) < 0x80 ? byte : '?';
        require(json::accept(ascii));
    }
    return 0;
}
