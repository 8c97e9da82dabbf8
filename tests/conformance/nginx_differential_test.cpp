#include "conformance/request_mutator.hpp"
#include "conformance/strict_reading.hpp"
#include "support/nginx_server.hpp"
#include "support/running_proxy.hpp"
#include "support/seed.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

// The same bytes to Weir and to nginx, each in front of an upstream that records: whatever Weir passes on is what
// nginx, and RFC 9112 read to the letter, take the bytes for. Where they refuse more or less, nothing is to be said;
// where they would read other requests, other bodies or another path, one of them lets something past the other's
// checks.

namespace weir::test {
namespace {

/// Records the complete requests it gets.
class recorder {
public:
    std::uint16_t port() const { return up_.port(); }

    std::vector<upstream_request> take() {
        std::lock_guard const lock(mutex_);
        return std::exchange(seen_, {});
    }

private:
    void serve(upstream::connection& c) {
        for (;;) {
            auto request = c.read();
            bool const head = request.method() == "HEAD";
            {
                std::lock_guard const lock(mutex_);
                seen_.push_back(std::move(request));
            }
            c.write(head ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                         : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    }

    std::mutex mutex_;
    std::vector<upstream_request> seen_;
    upstream up_{[this](upstream::connection& c) { serve(c); }};
};

constexpr std::string_view last_request = "GET /the-last HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n";

struct answers {
    /// 0: none.
    unsigned last_status = 0;
    bool ended = true;
};

/// Sends the bytes, and reads until the server closes.
answers talk(boost::asio::ip::tcp::endpoint to, std::string const& bytes) {
    http_client client(to);
    answers result;
    std::string all;
    try {
        client.send(bytes);
    } catch (boost::system::system_error const&) {
        // refused before all was sent
    }
    try {
        all = client.read_to_end();
    } catch (std::runtime_error const&) {
        result.ended = false;
    }
    for (auto at = all.find("HTTP/1.1 "); at != all.npos; at = all.find("HTTP/1.1 ", at + 1))
        if (auto const status = static_cast<unsigned>(std::atoi(all.c_str() + at + 9)); status >= 200)
            result.last_status = status;
    return result;
}

std::string decoded(std::string_view path) {
    std::string out;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (path[i] == '%' && i + 2 < path.size()) {
            out += static_cast<char>(std::stoi(std::string(path.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else {
            out += path[i];
        }
    }
    return out;
}

std::string host_alone(std::string host) {
    auto const bracket = host.find(']');
    auto const colon = host.find(':', bracket == host.npos ? 0 : bracket);
    host = host.substr(0, colon);
    if (host.ends_with('.')) // the root of names, which nginx leaves out
        host.pop_back();
    std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return std::tolower(c); });
    return host;
}

std::string printable(std::string_view bytes) {
    std::string out;
    for (unsigned char const c : bytes) {
        if (c == '\n')
            out += "\\n\n";
        else if (c == '\r')
            out += "\\r";
        else if (c < 32 || c > 126)
            out += "\\x" + std::string(1, "0123456789abcdef"[c / 16]) + std::string(1, "0123456789abcdef"[c % 16]);
        else
            out += static_cast<char>(c);
    }
    return out;
}

struct tally {
    std::atomic<int> cases{0}, passed_on{0}, compared{0}, refused{0}, nginx_refused_more{0};
};

/// One Weir and one nginx of their own, so that what an upstream records belongs to the case at hand.
class lane {
public:
    explicit lane(std::uint64_t seed)
        : mutator_(seed) {}

    void run_one(tally& counts) {
        auto const bytes = mutator_.next() + std::string(last_request);
        auto const ours = talk(weir_.endpoint(), bytes);
        auto const theirs = talk(nginx_endpoint_, bytes);
        auto const weir_saw = behind_weir_.take(), nginx_saw = behind_nginx_.take();
        auto read = strict_reading::of(bytes);
        std::erase_if(read, [](read_request const& r) { return r.target == "*"; }); // no route takes it
        auto wrong = compare_with_rfc(weir_saw, read) + compare_with_nginx(weir_saw, nginx_saw, read, theirs, counts);
        if (!ours.ended)
            wrong += "Weir neither answers nor closes\n";
        ++counts.cases;
        counts.passed_on += static_cast<int>(weir_saw.size());
        counts.refused += ours.last_status >= 400 ? 1 : 0;
        EXPECT_EQ(wrong, "") << printable(bytes) << "\n--- Weir answered " << ours.last_status << ", nginx "
                             << theirs.last_status << "; passed on by Weir: " << lines_of(weir_saw)
                             << "; by nginx: " << lines_of(nginx_saw);
    }

private:
    static std::string difference(char const* what, std::string const& ours, std::string const& theirs) {
        return ours == theirs ? "" : std::string(what) + " \"" + ours + "\" is there \"" + theirs + "\"\n";
    }

    static std::string lines_of(std::vector<upstream_request> const& all) {
        std::string out;
        for (auto const& each : all)
            out += "\"" + each.method() + ' ' + each.target() + "\" ";
        return out;
    }

    static std::string compare_with_rfc(std::vector<upstream_request> const& weir_saw,
                                        std::vector<read_request> const& read) {
        std::string wrong = weir_saw.size() > read.size() ? "a request that the RFC knows nothing of\n" : "";
        for (std::size_t i = 0; i < std::min(weir_saw.size(), read.size()); ++i)
            wrong += difference("RFC: method", weir_saw[i].method(), read[i].method) +
                     difference("RFC: body", weir_saw[i].body, read[i].body);
        return wrong;
    }

    static std::string compare_with_nginx(std::vector<upstream_request> const& weir_saw,
                                          std::vector<upstream_request> const& nginx_saw,
                                          std::vector<read_request> const& read, answers const& theirs, tally& counts) {
        // Having refused, or seen what it takes for the wish to close, nginx reads no further; whatever else it did, it
        // took the bytes for these requests and no more.
        auto const last = nginx_saw.size();
        bool const refused = (theirs.last_status >= 400 && theirs.last_status != 408) ||
                             (last > 0 && last <= read.size() && read[last - 1].may_be_last);
        bool const more = weir_saw.size() > nginx_saw.size();
        std::string wrong = more && !refused ? "a request where nginx sees none\n" : "";
        counts.nginx_refused_more += refused && more ? 1 : 0;
        for (std::size_t i = 0; i < std::min(weir_saw.size(), nginx_saw.size()); ++i) {
            auto const &a = weir_saw[i], &b = nginx_saw[i];
            auto const target = a.target();
            wrong += difference("nginx: method", a.method(), b.method()) + difference("nginx: body", a.body, b.body) +
                     difference("nginx: path", decoded(target.substr(0, target.find('?'))), b.field("X-Normal-Path"));
            if (auto const host = a.field("Host"); !host.empty()) // of HTTP/1.0 perhaps none
                wrong += difference("nginx: host", host_alone(host), b.field("Host"));
            ++counts.compared;
        }
        return wrong;
    }

    static config::config settings(std::uint16_t port) {
        auto c = proxy_config(port);
        // A body may take in all that is sent; the client waits for the end then.
        c.http.head_timeout = c.http.body_timeout = c.http.keep_alive = std::chrono::milliseconds{300};
        return c;
    }

    static std::string nginx_settings(std::uint16_t own, std::uint16_t upstream) {
        return "upstream up { server 127.0.0.1:" + std::to_string(upstream) + "; keepalive 4; }\n" +
               "client_body_timeout 300ms; client_header_timeout 300ms; keepalive_timeout 300ms;\n"
               "lingering_timeout 300ms;\n"
               "server { listen 127.0.0.1:" +
               std::to_string(own) +
               "; server_name none;\n"
               "  location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\";\n"
               "    proxy_set_header Host $host; proxy_set_header X-Normal-Path $uri; } }\n";
    }

    request_mutator mutator_;
    recorder behind_weir_, behind_nginx_;
    running_proxy weir_{settings(behind_weir_.port())};
    std::uint16_t const nginx_port_ = free_port();
    nginx_server nginx_{nginx_settings(nginx_port_, behind_nginx_.port())};
    boost::asio::ip::tcp::endpoint const nginx_endpoint_{boost::asio::ip::address_v4::loopback(), nginx_port_};
};

TEST(nginx_differential, what_is_passed_on_is_what_nginx_and_the_rfc_read) {
    constexpr int wanted = 20'000;
    constexpr std::chrono::seconds at_most{15};
    constexpr unsigned lanes = 6; // each mostly waits
    auto const seed = random_seed();
    SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
    tally counts;
    auto const until = std::chrono::steady_clock::now() + at_most;
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < lanes; ++i)
        threads.emplace_back([&, i] {
            SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed) + ", lane " + std::to_string(i));
            lane one(seed + i);
            while (counts.cases < wanted && std::chrono::steady_clock::now() < until && !testing::Test::HasFailure())
                one.run_one(counts);
        });
    for (auto& each : threads)
        each.join();
    std::cout << "seed " << seed << ": " << counts.cases << " connections, " << counts.passed_on
              << " requests passed on, " << counts.compared << " compared with nginx', " << counts.refused
              << " connections refused, " << counts.nginx_refused_more << " that nginx alone refused\n";
    EXPECT_GT(counts.cases, 200);
    EXPECT_GT(counts.compared, counts.cases / 4) << "too little is passed on for a comparison to mean much";
    EXPECT_GT(counts.refused, counts.cases / 10);
}

} // namespace
} // namespace weir::test
