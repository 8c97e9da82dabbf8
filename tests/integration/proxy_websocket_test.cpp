#include "support/certificates.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/running_proxy.hpp"

#include <gtest/gtest.h>

// WebSockets between a client and a server that others wrote.

namespace weir::test {
namespace {

program peer(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), source_path("tests/support/websocket_peer.py"));
    return program("/usr/bin/python3", arguments); // Debian's, which has its packages
}

class proxy_websocket : public testing::Test {
protected:
    config::config settings() {
        auto const port = server_.wait_for_error_line("listening on port ").substr(18);
        auto c = proxy_config(static_cast<std::uint16_t>(std::stoi(port)));
        c.routes.front().upgrades = {"websocket"};
        return c;
    }

    static void talk(std::vector<std::string> const& arguments) {
        program client = peer(arguments);
        EXPECT_EQ(client.wait(), 0) << client.err();
    }

private:
    program server_ = peer({"serve"});
};

TEST_F(proxy_websocket, messages_pings_extensions_and_the_code_of_a_close_pass) {
    running_proxy const proxy(settings());
    talk({"talk", "ws://127.0.0.1:" + std::to_string(proxy.endpoint().port()) + "/chat"});
}

TEST_F(proxy_websocket, and_through_tls) {
    certificates const files;
    auto c = settings();
    c.listen.front().tls.emplace().certificates.push_back({files.certificate("server"), files.key("server")});
    running_proxy const proxy(std::move(c));
    talk({"talk", "wss://localhost:" + std::to_string(proxy.endpoint().port()) + "/chat", files.ca()});
}

} // namespace
} // namespace weir::test
