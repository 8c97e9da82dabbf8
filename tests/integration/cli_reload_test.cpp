#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

// `weir serve` told to read its configuration again.

namespace weir::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class cli_reload : public testing::Test {
protected:
    void write(std::uint16_t port, std::string const& more = {}) const {
        std::ofstream(file()) << R"({"listen":[{"address":"127.0.0.1:0"}],"admin":{"address":"127.0.0.1:0"},)"
                              << R"("access_log":"off","upstreams":{"api":{"targets":["http://127.0.0.1:)" << port
                              << "\"]}}," << more << R"("routes":[{"name":"all","path":"/*","upstream":"api"}]})";
    }
    std::string file() const { return directory_.path() + "/weir.json"; }

    static http_client connect(std::string const& address) {
        return http_client({boost::asio::ip::make_address("127.0.0.1"),
                            static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
    }

    temporary_directory directory_;
    upstream one_{upstream::always("one")};
    upstream other_{upstream::always("other")};
};

TEST_F(cli_reload, a_good_file_takes_effect_and_a_bad_one_is_refused_with_all_its_errors) {
    write(one_.port());
    program weir({"serve", "--config", file()});
    auto client = connect(weir.wait_for_error_line("listening on "));
    auto const admin = weir.wait_for_error_line("metrics and health at ");
    EXPECT_EQ(client.get("/").body, "one");
    auto const before = connect(admin).get("/metrics").body;

    write(other_.port());
    weir.signal(SIGHUP);
    weir.wait_for_error_line("configuration reloaded (SIGHUP)");
    std::string body;
    for (int i = 0; i < 100'000 && body != "other"; ++i)
        body = client.get("/").body;
    EXPECT_EQ(body, "other");

    write(one_.port(), R"("limts":{},"drain":"soon",)");
    weir.signal(SIGHUP);
    weir.wait_for_error_line("configuration refused (SIGHUP)");
    EXPECT_THAT(weir.err(), HasSubstr("/limts: unknown field; did you mean"));
    EXPECT_THAT(weir.err(), HasSubstr("/drain: "));
    EXPECT_EQ(client.get("/").body, "other");

    write(one_.port(), R"("workers":7,)");
    weir.signal(SIGHUP);
    weir.wait_for_error_line("/workers: cannot be changed in a running server: restart it");
    weir.wait_for_error_line("configuration refused (SIGHUP)");
    EXPECT_EQ(client.get("/").body, "other");

    auto const after = connect(admin).get("/metrics").body;
    EXPECT_THAT(after, HasSubstr(R"(weir_config_reloads_total{result="ok"} 1)"));
    EXPECT_THAT(after, HasSubstr(R"(weir_config_reloads_total{result="refused"} 2)"));
    auto const info = [](std::string const& text) { return text.substr(text.find("weir_config_info{"), 42); };
    EXPECT_NE(info(before), info(after));
    weir.signal(SIGTERM);
    EXPECT_EQ(weir.wait(), 0);
}

TEST_F(cli_reload, without_a_file_there_is_nothing_to_read) {
    program weir({"serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:" + std::to_string(one_.port()),
                  "--admin", "127.0.0.1:0", "--access-log", "off"});
    auto client = connect(weir.wait_for_error_line("listening on "));
    weir.signal(SIGHUP);
    weir.wait_for_error_line("started without --config");
    EXPECT_EQ(client.get("/").body, "one");
}

} // namespace
} // namespace weir::test
