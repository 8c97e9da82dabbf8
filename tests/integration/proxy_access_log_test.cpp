#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/until.hpp"
#include "support/upstream.hpp"

#include <boost/json.hpp>

#include <gmock/gmock.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::system_clock;

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
    constexpr auto thinking = 40ms;
    temporary_directory const place;
    auto const file = place.path() + "/access.log";
    upstream up([&](upstream::connection& c) {
        for (;;) {
            c.read();
            std::this_thread::sleep_for(thinking); // it is time that is measured
            c.respond("hello");
        }
    });
    auto configuration = proxy_config(up.port());
    configuration.routes[0].path = "/known/";
    configuration.access_log = file;
    std::vector<milliseconds> asked, written;
    std::vector<boost::json::object> lines;
    {
        running_proxy const proxy(configuration);
        auto client = proxy.connect();
        for (auto* const target : {"/known/1", "/unknown", "/known/2"}) {
            asked.push_back(since_1970(system_clock::now()));
            client.get(target);
            until([&] { return (lines = lines_of(file)).size() == asked.size(); });
            written.push_back(since_1970(system_clock::now()));
        }
    }
    ASSERT_EQ(lines.size(), 3u);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        auto const time = since_1970(std::string(lines[i].at("time").as_string()));
        EXPECT_GE(time, asked[i] - 1ms) << i; // the wall clock may be slewed
        EXPECT_LE(time, written[i] + 1ms) << i;
        EXPECT_LT(number(lines[i], "duration"), std::chrono::duration<double>(written[i] + 1ms - asked[i]).count())
            << i;
    }
    for (std::size_t const i : {0u, 2u}) {
        EXPECT_EQ(lines[i].at("status"), 200);
        EXPECT_GE(number(lines[i], "upstream_duration"), std::chrono::duration<double>(thinking).count()) << i;
        EXPECT_GE(number(lines[i], "duration"), number(lines[i], "upstream_duration")) << i;
    }
    EXPECT_EQ(lines[1].at("status"), 404);
    EXPECT_FALSE(lines[1].contains("upstream_duration"));
}

} // namespace
} // namespace weir::test
