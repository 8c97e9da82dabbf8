#include "support/gate.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <boost/asio/ip/network_v4.hpp>
#include <boost/json.hpp>

#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::system_clock;
using seconds = std::chrono::duration<double>;

milliseconds since_1970(system_clock::time_point t) { return std::chrono::floor<milliseconds>(t.time_since_epoch()); }

/// Of "2026-11-22T17:28:18.816Z".
milliseconds since_1970(std::string const& text) {
    std::tm parts{};
    int ms = -1;
    char dot = 0, zone = 0;
    std::istringstream in(text);
    in >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S") >> dot >> ms >> zone;
    EXPECT_TRUE(in && dot == '.' && zone == 'Z' && text.size() == 24) << text;
    return std::chrono::seconds{::timegm(&parts)} + milliseconds{ms};
}

milliseconds now() { return since_1970(system_clock::now()); }

double number(boost::json::object const& line, char const* name) { return line.at(name).to_number<double>(); }

/// Those that are complete.
std::vector<boost::json::object> lines_of(std::string const& file) {
    std::ifstream in(file);
    std::vector<boost::json::object> lines;
    for (std::string text; std::getline(in, text) && !in.eof();)
        lines.push_back(boost::json::parse(text).as_object());
    return lines;
}

TEST(proxy_access_log, each_line_has_the_times_of_its_own_request) {
    temporary_directory const place;
    auto const file = place.path() + "/access.log";
    std::array<gate, 2> gates;
    upstream up([&](upstream::connection& c) {
        for (auto& each : gates) {
            c.read();
            each.pass();
            c.respond("hello");
        }
    });
    auto configuration = proxy_config(up.port());
    configuration.routes[0].path = "/known/";
    configuration.access_log = file;
    running_proxy const proxy(configuration);
    auto client = proxy.connect(), other = proxy.connect();
    std::size_t n = 0;
    auto const line_of_request = [&](milliseconds asked) {
        std::vector<boost::json::object> lines;
        until([&] { return (lines = lines_of(file)).size() > n; });
        auto const written = now();
        auto const line = lines.at(n++);
        auto const time = since_1970(std::string(line.at("time").as_string()));
        EXPECT_GE(time, asked - 1ms); // the wall clock may be slewed
        EXPECT_LE(time, written + 1ms);
        EXPECT_LT(number(line, "duration"), seconds(written + 1ms - asked).count());
        return line;
    };
    auto const ask_unknown = [&](http_client& from) {
        auto const asked = now();
        EXPECT_EQ(from.get("/unknown").status, 404u);
        auto const line = line_of_request(asked);
        EXPECT_EQ(line.at("status"), 404);
        EXPECT_FALSE(line.contains("upstream_duration"));
    };
    for (auto& each : gates) {
        auto const asked = now();
        client.send("GET /known/ HTTP/1.1\r\nHost: a\r\n\r\n");
        ASSERT_TRUE(each.wait_for_arrivals(1));
        auto const thinking = std::chrono::steady_clock::now();
        ask_unknown(other);
        seconds const thought = std::chrono::steady_clock::now() - thinking;
        each.open();
        EXPECT_EQ(client.read().body, "hello");
        auto const known = line_of_request(asked);
        EXPECT_EQ(known.at("status"), 200);
        EXPECT_GE(number(known, "upstream_duration"), thought.count() - 1e-6); // it has six places
        EXPECT_GE(number(known, "duration"), number(known, "upstream_duration"));
        ask_unknown(client); // with what the known one had of the worker's memory
    }
}

TEST(proxy_access_log, whatever_a_client_sends_stays_within_its_own_field) {
    temporary_directory const place;
    auto const file = place.path() + "/access.log";
    upstream up([&](upstream::connection& c) {
        for (;;) {
            c.read();
            c.respond("hello");
        }
    });
    auto configuration = proxy_config(up.port());
    configuration.trusted_proxies.push_back(boost::asio::ip::make_network_v4("127.0.0.0/8"));
    configuration.access_log = file;
    running_proxy const proxy(configuration);
    std::string const forged = R"(x","status":999,"y":"\)", method = "M!#$%&'*+-.^_`|~0";
    auto const ask = [&](std::string const& path, std::string const& field) {
        auto client = proxy.connect();
        client.send(method + ' ' + path + " HTTP/1.1\r\nHost: a\r\n" + field + ": " + forged + "\r\n\r\n");
        return client.read().status;
    };
    for (auto const* field : {"X-Request-Id", "X-Forwarded-For", "Forwarded", "User-Agent"})
        EXPECT_EQ(ask("/a%22,%22status%22:999", field), 200u) << field;
    EXPECT_EQ(ask(R"(/","status":999,"y":"\)", "X-Request-Id"), 400u);
    std::vector<boost::json::object> lines;
    until([&] { return (lines = lines_of(file)).size() == 5; });
    for (std::size_t i = 0; i < lines.size(); ++i) {
        auto const& line = lines[i];
        EXPECT_EQ(line.at("method").as_string(), method);
        EXPECT_EQ(line.at("status"), i < 4 ? 200 : 400);
        EXPECT_EQ(line.at("path").as_string(), i < 4 ? "/a%22,%22status%22:999" : "/%22,%22status%22:999,%22y%22:%22");
        EXPECT_EQ(line.at("client").as_string(), "127.0.0.1");
        EXPECT_FALSE(line.contains("y"));
        EXPECT_THAT(std::string(line.at("request_id").as_string()), testing::MatchesRegex("[0-9a-f]{32}"));
    }
}

} // namespace
} // namespace weir::test
