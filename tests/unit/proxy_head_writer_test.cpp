#include "proxy/head_writer.hpp"

#include "support/seed.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace weir::proxy {
namespace {

/// As an interim response (1xx) with these field lines is passed on.
std::string interim(std::string const& lines) {
    auto const text = "HTTP/1.1 103 Early Hints\r\n" + lines + "\r\n";
    http::response_head head;
    auto const parsed = http::parse_response_head(text, {}, boost::beast::http::verb::get, head);
    EXPECT_EQ(parsed.state, http::parse_state::complete) << lines;
    std::string written;
    write_interim_head(written, head);
    constexpr std::string_view begin = "HTTP/1.1 103 Early Hints\r\n", end = "\r\n";
    EXPECT_TRUE(written.starts_with(begin) && written.ends_with(end)) << written;
    return written.substr(begin.size(), written.size() - begin.size() - end.size());
}

TEST(head_writer, fields_are_passed_on_one_after_the_other) {
    EXPECT_EQ(interim("Server: a\r\nLink: </x>; rel=preload\r\nEmpty: \r\nlast:  \xe9\r\n"),
              "Server: a\r\nLink: </x>; rel=preload\r\nEmpty: \r\nlast: \xe9\r\n");
    EXPECT_EQ(interim(""), "");
}

TEST(head_writer, fields_spelled_otherwise_are_passed_on_in_the_usual_way) {
    EXPECT_EQ(interim("A:b\r\nC: d\r\nE:\tf\r\nG:\r\nH: \r\nI:  j\r\nK: l \t\r\nM: n\r\n"),
              "A: b\r\nC: d\r\nE: f\r\nG: \r\nH: \r\nI: j\r\nK: l\r\nM: n\r\n");
}

TEST(head_writer, fields_that_are_not_passed_on_leave_no_trace_between_others) {
    EXPECT_EQ(
        interim("A: b\r\nConnection: X-Hop, keep-alive\r\nC: d\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nE: f\r\nTE: g\r\n"),
        "A: b\r\nC: d\r\nE: f\r\n");
    EXPECT_EQ(interim("TE: g\r\nA: b\r\nContent-Length: 0\r\n"), "A: b\r\n");
}

TEST(head_writer, whatever_is_between_fields_each_comes_out_as_it_was_said) {
    auto const seed = test::random_seed();
    SCOPED_TRACE(testing::Message() << "WEIR_TEST_SEED=" << seed);
    std::mt19937_64 random{seed};
    auto const one_of = [&](auto const& all) { return std::string{all[random() % all.size()]}; };
    std::array<std::string_view, 5> const before{": ", ":", ":\t", ":  ", ": \t "};
    std::array<std::string_view, 4> const after{"\r\n", "\r\n", " \r\n", "\t\r\n"};
    std::array<std::string_view, 5> const values{"", "a", "a b", ": c", "x-a: y"};
    std::array<std::string_view, 5> const names{"x-a", "Upgrade", "b", "Trailer", "Content-Length"};
    for (int i = 0; i < 2000; ++i) {
        std::string lines, wanted;
        bool measured = false;
        for (auto left = random() % 8; left > 0; --left) {
            auto const name = one_of(names);
            auto const length = name == "Content-Length";
            if (length && std::exchange(measured, true))
                continue;
            auto const value = length ? "0" : one_of(values);
            lines += name + (random() % 2 ? ": " : one_of(before)) + value + one_of(after);
            if (name.size() < 4)
                wanted += name + ": " + value + "\r\n";
        }
        ASSERT_EQ(interim(lines), wanted) << lines;
    }
}

TEST(head_writer, a_request_is_passed_on_with_the_fields_of_its_client) {
    std::string const text = "GET /a HTTP/1.1\r\nAccept: */*\r\nHost: h\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n"
                             "Accept-Language:de\r\nX_Y: z\r\nUser-Agent: u\r\n\r\n";
    http::request_head head;
    ASSERT_EQ(http::parse_request_head(text, {}, head).state, http::parse_state::complete);
    id_source ids;
    std::string written;
    write_request_head(written, head, "/a", {}, false, {.peer = "127.0.0.1"}, {}, "id", ids);
    EXPECT_TRUE(
        written.starts_with("GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nCookie: a=b\r\nAccept-Language: de\r\n"
                            "User-Agent: u\r\nX-Forwarded-For: 127.0.0.1\r\n"))
        << written;
}

} // namespace
} // namespace weir::proxy
