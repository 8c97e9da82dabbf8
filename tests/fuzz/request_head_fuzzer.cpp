// Request heads, chunked bodies and targets from any bytes, whole and cut at a place that the input chooses.
#include <weir/http/canonical_target.hpp>
#include <weir/http/chunk_decoder.hpp>
#include <weir/http/head.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace weir::http;

void require(bool holds) {
    if (!holds)
        std::abort();
}

/// The body that the decoder takes off, fed in pieces of at most `piece` bytes; `refused` ends it.
std::string decode(std::string_view input, std::size_t piece, bool& refused) {
    chunk_decoder decoder;
    std::string body;
    while (!input.empty() && !decoder.done()) {
        auto part = input.substr(0, piece);
        auto const offered = part.size();
        while (!part.empty()) {
            auto const step = decoder.next(part);
            require(step.consumed <= part.size());
            if (step.what == chunk_decoder::state::refused) {
                refused = true;
                return body;
            }
            if (step.what == chunk_decoder::state::data)
                body += step.data;
            part.remove_prefix(step.consumed);
            if (step.what == chunk_decoder::state::end || step.what == chunk_decoder::state::need_more)
                break;
        }
        input.remove_prefix(offered - part.size());
        if (decoder.done())
            break;
    }
    return body;
}

void check_target(request_head const& head) {
    canonical_target once, twice;
    refusal why;
    if (!canonicalize(head.target, once, why))
        return;
    // The canonical form is canonical: nothing is left to take apart.
    require(canonicalize(once.path, twice, why) || once.path == "*");
    if (once.path != "*")
        require(twice.path == once.path && twice.key == once.key);
}

/// What an accepted head says is said again by the head written from it.
void check_again(request_head const& head) {
    std::string text{head.method};
    text.append(" ").append(head.target).append(head.version == 10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    for (auto const& each : head.fields())
        text.append(each.name).append(": ").append(each.value).append("\r\n");
    text += "\r\n";
    request_head again;
    limits generous;
    generous.max_line *= 2;
    generous.max_head *= 2;
    auto const parsed = parse_request_head(text, generous, again);
    require(parsed.state == parse_state::complete && parsed.consumed == text.size());
    require(again.fields().size() == head.fields().size() && again.framing == head.framing &&
            again.content_length == head.content_length && again.host == head.host);
}

/// A head that has been used before says the same as a new one.
void check_used(std::string_view input, parse_result const& expected, request_head const& whole) {
    request_head used;
    parse_request_head("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\nCookie: a\r\n\r\n", {},
                       used);
    for (int i = 0; i < 2; ++i) {
        auto const said = parse_request_head(input, {}, used);
        require(said.state == expected.state && said.consumed == expected.consumed &&
                said.why.reason == expected.why.reason);
        require(used.fields().size() == whole.fields().size());
        for (std::size_t n = 0; n < used.fields().size(); ++n) {
            auto const &a = used.fields()[n], &b = whole.fields()[n];
            require(a.name == b.name && a.value == b.value && a.id == b.id && a.hop_by_hop == b.hop_by_hop);
        }
        used.reset();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    if (size < 1)
        return 0;
    std::size_t const cut = data[0];
    std::string_view const input{reinterpret_cast<char const*>(data) + 1, size - 1};

    request_head whole;
    auto const at_once = parse_request_head(input, {}, whole);
    require(at_once.consumed <= input.size());
    check_used(input, at_once, whole);
    request_head in_two;
    auto in_parts = parse_request_head(input.substr(0, cut), {}, in_two);
    if (in_parts.state == parse_state::need_more)
        in_parts = parse_request_head(input, {}, in_two);
    require(in_parts.state == at_once.state);
    if (at_once.state == parse_state::refused) {
        require(at_once.why.status >= 400 && at_once.why.status < 600 && at_once.why.status == in_parts.why.status);
    } else if (at_once.state == parse_state::complete) {
        require(at_once.consumed == in_parts.consumed);
        check_target(whole);
        check_again(whole);
    }

    bool refused_whole = false, refused_parts = false;
    auto const body = decode(input, input.size(), refused_whole);
    require(body == decode(input, 1 + cut % 7, refused_parts));
    require(refused_whole == refused_parts);
    return 0;
}
