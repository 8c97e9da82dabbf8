#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>

#include <cstdio>
#include <fstream>

// What Prometheus scrapes, as Prometheus' own tool sees it.

namespace weir::test {
namespace {

boost::asio::ip::tcp::endpoint endpoint_in(std::string const& line) {
    auto const port = std::stoi(line.substr(line.rfind("127.0.0.1:") + 10));
    return {boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)};
}

/// What `promtool check metrics` has to say.
std::string objections_to(std::string const& metrics) {
    temporary_directory const directory;
    auto const file = directory.path() + "/metrics";
    std::ofstream(file) << metrics;
    auto* const tool = ::popen(("promtool check metrics < " + file + " 2>&1").c_str(), "r");
    std::string said;
    for (int byte = std::fgetc(tool); byte != EOF; byte = std::fgetc(tool))
        said += static_cast<char>(byte);
    auto const status = ::pclose(tool);
    if (status != 0)
        said += "promtool ended with " + std::to_string(status);
    return said;
}

TEST(admin_metrics, promtool_finds_no_fault_before_during_and_after_an_outage_of_redis) {
    redis_server redis;
    program weir({"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:" + std::to_string(dead_port()),
                  "--admin", "127.0.0.1:0", "--workers", "2", "--access-log", "off", "--limit", "2/1h", "--redis",
                  redis.url()});
    auto const at = endpoint_in(weir.wait_for_error_line("listening on 127.0.0.1:"));
    auto const admin = endpoint_in(weir.wait_for_error_line("\"event\":\"admin_listening\""));
    auto const scrape = [&] { return http_client(admin).get("/metrics").body; };
    EXPECT_EQ(objections_to(scrape()), "") << "nothing has happened yet";

    for (auto const expected : {502, 502, 429})
        EXPECT_EQ(http_client(at).get("/").status, expected);
    EXPECT_EQ(http_client(at).get("/%2e%2e/secret").status, 400);
    redis.kill();
    do // for a second the refusal of before is said again
        http_client(at).get("/");
    while (scrape().find("outcome=\"error_local\"} 0") != std::string::npos);
    EXPECT_EQ(objections_to(scrape()), "");
    EXPECT_THAT(scrape(), testing::HasSubstr("outcome=\"error_local\"} 1"));
    redis.restart();
    http_client(at).get("/");
    EXPECT_EQ(objections_to(scrape()), "");
}

TEST(admin_metrics, promtool_does_find_faults) {
    EXPECT_NE(objections_to("# TYPE weir_x counter\nweir_x 1\n"), "");
    EXPECT_NE(objections_to("no metrics\n"), "");
}

} // namespace
} // namespace weir::test
