#include "support/paths.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <weir/http/chunk_decoder.hpp>
#include <weir/http/head.hpp>

#include <boost/beast/core/detail/base64.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>
#include <optional>
#include <set>

namespace weir::test {
namespace {

/// A published set of cases, where it lies beside the checkout; says so where it does not.
std::optional<nlohmann::json> load_cases(std::string const& name) {
    std::ifstream file{source_path("../shared/http-cases/" + name)};
    if (!file) {
        std::cout << "the published cases " << name << " are not beside this checkout: nothing to compare with\n";
        return std::nullopt;
    }
    return nlohmann::json::parse(file);
}

std::string bytes_of(nlohmann::json const& one) {
    namespace base64 = boost::beast::detail::base64;
    auto const& text = one["bytes"].get_ref<std::string const&>();
    std::string out(base64::decoded_size(text.size()), '\0');
    out.resize(base64::decode(out.data(), text.data(), text.size()).first);
    return out;
}

struct completion {
    int messages = 0;
    bool refused = false;
};

/// Takes the body of a request off `input`; false: more is needed, or it was refused.
bool take_body(http::request_head const& head, std::string_view& input, completion& seen) {
    if (head.framing == http::body_framing::length) {
        if (input.size() < head.content_length)
            return false;
        input.remove_prefix(head.content_length);
    } else if (head.framing == http::body_framing::chunked) {
        http::chunk_decoder decoder;
        while (!decoder.done()) {
            auto const step = decoder.next(input);
            input.remove_prefix(step.consumed);
            if (step.what == http::chunk_decoder::state::refused)
                seen.refused = true;
            if (step.what == http::chunk_decoder::state::refused || step.what == http::chunk_decoder::state::need_more)
                return false;
        }
    }
    return true;
}

/// What our parsers make of the bytes of a connection.
completion read_requests(std::string_view input) {
    completion seen;
    while (!input.empty()) {
        http::request_head head;
        auto const parsed = http::parse_request_head(input, {}, head);
        seen.refused = parsed.state == http::parse_state::refused;
        if (parsed.state != http::parse_state::complete)
            break;
        input.remove_prefix(parsed.consumed);
        if (!take_body(head, input, seen))
            break;
        ++seen.messages;
        if (!head.keep_alive)
            break;
    }
    return seen;
}

TEST(llhttp_cases, no_request_that_is_refused_there_is_completed_here) {
    auto const cases = load_cases("llhttp.json");
    if (!cases)
        return;
    // A method of no standard is nothing of framing: it is passed on, as RFC 9110 9.1 lets an upstream refuse it.
    std::set<std::string> const passed_on{"HTTP protocol and ANNOUNCE method"};
    int compared = 0;
    for (auto const& one : *cases) {
        if (one["kind"] != "request" || passed_on.count(one["name"].get<std::string>()) != 0)
            continue;
        auto const ours = read_requests(bytes_of(one));
        EXPECT_LE(ours.messages, one["messages_complete"].get<int>())
            << one["from"] << ": " << one["name"] << ": " << one["error"];
        ++compared;
    }
    EXPECT_GT(compared, 100);
}

TEST(llhttp_cases, a_request_with_a_host_that_is_accepted_there_is_accepted_here) {
    auto const cases = load_cases("llhttp.json");
    if (!cases)
        return;
    // Where we are stricter: other protocols than HTTP, and more than the one empty line before a request that RFC 9112
    // 2.2 asks to be ignored.
    std::set<std::string> const stricter{"SOURCE request with ICE", "OPTIONS request with RTSP",
                                         "ANNOUNCE request with RTSP",
                                         "`keep-alive` / CRLF between requests, implicit `keep-alive`"};
    for (auto const& one : *cases) {
        auto const bytes = bytes_of(one);
        if (one["kind"] != "request" || !one["error"].is_null() || bytes.find("\r\nHost:") == bytes.npos)
            continue;
        if (stricter.count(one["name"].get<std::string>()) != 0)
            continue;
        EXPECT_FALSE(read_requests(bytes).refused) << one["from"] << ": " << one["name"];
    }
}

TEST(h1spec_cases, every_request_gets_one_of_the_answers_accepted) {
    auto const cases = load_cases("h1spec.json");
    if (!cases)
        return;
    upstream up(upstream::always("x"));
    running_proxy const proxy(proxy_config(up.port()));
    for (auto const& one : *cases) {
        auto const& ranges = one["status_ranges"];
        auto const bytes = bytes_of(one);
        auto client = proxy.connect();
        if (ranges[0][0] == -1) {
            // Not complete yet: no answer, so the end of the connection is what comes once we end ours.
            EXPECT_FALSE(read_requests(bytes).refused) << one["name"];
            continue;
        }
        auto const status = static_cast<int>(client.exchange(bytes).status);
        bool accepted = false;
        for (auto const& range : ranges)
            accepted = accepted || (status >= range[0].get<int>() && status <= range[1].get<int>());
        EXPECT_TRUE(accepted) << one["name"] << ": " << status << " is not in " << ranges;
    }
}

} // namespace
} // namespace weir::test
