#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace weir::test {

/// Valid requests, and what becomes of them by the mistakes and tricks by which servers have come to disagree: seeded,
/// so that every one can be made again.
class request_mutator {
public:
    explicit request_mutator(std::uint64_t seed)
        : random_(seed) {}

    /// The bytes of one connection, without an end.
    std::string next() {
        auto text = std::string(pick(templates));
        for (auto left = below(4); left > 0; --left)
            mutate(text);
        return text;
    }

private:
    static constexpr std::array<std::string_view, 12> templates{
        "GET /a/b?c=d HTTP/1.1\r\nHost: weir.test\r\nX-A: b\r\n\r\n",
        "POST /form HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
        "POST /up HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST /ext HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: "
        "t\r\n\r\n",
        "PUT /put HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 25\r\n\r\nGET /inner HTTP/1.1\r\n\r\n..",
        "POST /in HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 48\r\n\r\n"
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: weir.test\r\n\r\n",
        "GET /one HTTP/1.1\r\nHost: weir.test\r\n\r\nGET /two HTTP/1.1\r\nHost: weir.test\r\n\r\n",
        "GET http://other.test/abs HTTP/1.1\r\nHost: weir.test\r\n\r\n",
        "GET /old HTTP/1.0\r\nHost: weir.test\r\nConnection: keep-alive\r\n\r\n",
        "DELETE /a/../b//c/./d HTTP/1.1\r\nHost: weir.test:80\r\nConnection: x-a, keep-alive\r\nX-A: b\r\n\r\n",
        "HEAD /head HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 0\r\n\r\n",
        "POST /expect HTTP/1.1\r\nHost: weir.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    };
    static constexpr std::array<std::string_view, 44> lines{
        "Content-Length: 0",
        "Content-Length: 5",
        "Content-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 05",
        "Content-Length: 0x5",
        "Content-Length: ",
        "Content-Length : 5",
        "Content_Length: 5",
        "content-length:5",
        "Content-Length: 18446744073709551621",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: chunked ",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: \vchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding",
        " Transfer-Encoding: chunked",
        "TE: trailers",
        "Host: other.test",
        "Host: a b",
        "Host:",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: Transfer-Encoding",
        "Connection: Content-Length, Host",
        "Expect: 100-continue",
        "Expect: 200-ok",
        "Upgrade: h2c",
        "X-Folded: a\r\n b",
        "X-Nul: \x01",
        ": empty",
        "no colon",
        "X-High: \xc3\xa9",
        "Keep-Alive: timeout=5",
        "\r\nGET /smuggled HTTP/1.1\r\nHost: weir.test",
    };
    static constexpr std::array<std::string_view, 26> bytes{"\r", "\n", "\r\n", "\n\n", " ", "\t", ":",  ";", ",",
                                                            "\v", "\f", "\x7f", "\x80", "+", "-",  "0",  "9", "a",
                                                            "x",  "_",  "%",    "/",    ".", "\\", "\"", "#"};
    static constexpr std::array<std::string_view, 22> path_pieces{
        "/../", "/./", "//",  "/%2e%2e/", "%2F",  "%5C", "\\",     ";x",  "%00", "%20",   "%25",
        "/..",  "/.",  "%2e", "%41",      "..;/", "?",   "%c0%af", "%zz", "#f",  "/%2E/", "%3B"};
    static constexpr std::array<std::string_view, 14> sizes{
        "0",  "00005", "5",  "6",  "4",          "0x5",       "-5",
        "+5", "5 ",    " 5", "5;", "5;a=\"\n\"", "fffffffff", "10000000000000005"};

    template <std::size_t N>
    std::string_view pick(std::array<std::string_view, N> const& from) {
        return from[below(N)];
    }
    std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random_() % n); }

    void mutate(std::string& text) {
        switch (below(12)) {
        case 0:
            text.insert(below(text.size() + 1), pick(bytes));
            break;
        case 1:
            text.replace(below(text.size()), 1, pick(bytes));
            break;
        case 2:
            text.erase(below(text.size()), 1 + below(3));
            break;
        case 3:
        case 4:
            text.insert(line_start(text), std::string(pick(lines)) + "\r\n");
            break;
        case 5:
            copy_line(text);
            break;
        case 6:
            change_number(text);
            break;
        case 7:
            change_line_end(text);
            break;
        case 8:
        case 9:
            change_path(text);
            break;
        case 10:
            change_chunk_size(text);
            break;
        default:
            change_case(text);
            break;
        }
        if (text.empty())
            text = "x";
    }

    /// Where some line of the first head begins, but for the first.
    std::size_t line_start(std::string const& text) {
        auto const end = std::min(text.find("\r\n\r\n"), text.size());
        auto const at = text.find("\r\n", below(end + 1));
        return at == text.npos ? text.size() : at + 2;
    }

    void copy_line(std::string& text) {
        auto const from = line_start(text);
        auto const end = text.find("\r\n", from);
        if (end == text.npos)
            return;
        auto const copied = text.substr(from, end + 2 - from);
        text.insert(line_start(text), copied);
    }

    void change_number(std::string& text) {
        auto const at = text.find_first_of("0123456789", below(text.size()));
        if (at == text.npos)
            return;
        text[at] = static_cast<char>('0' + (text[at] - '0' + 1 + static_cast<int>(below(8))) % 10);
    }

    void change_line_end(std::string& text) {
        static constexpr std::array<std::string_view, 6> ends{"\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", "\r\n "};
        auto const at = text.find("\r\n", below(text.size()));
        if (at != text.npos)
            text.replace(at, 2, pick(ends));
    }

    void change_path(std::string& text) {
        auto const begin = text.find(' ');
        auto const end = text.find(' ', begin + 1);
        if (begin != text.npos && end != text.npos)
            text.insert(begin + 1 + below(end - begin), pick(path_pieces));
    }

    void change_chunk_size(std::string& text) {
        auto const body = text.find("\r\n\r\n");
        auto const end = body == text.npos ? body : text.find("\r\n", body + 4);
        if (end != text.npos)
            text.replace(body + 4, end - body - 4, pick(sizes));
    }

    void change_case(std::string& text) {
        auto const at = below(text.size());
        text[at] = static_cast<char>(text[at] ^ 0x20);
    }

    std::mt19937_64 random_;
};

} // namespace weir::test
