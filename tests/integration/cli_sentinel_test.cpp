#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_sentinels.hpp"

#include <gmock/gmock.h>

#include <fstream>

// The program in front of a group that Sentinels watch.

namespace weir::test {
namespace {

TEST(cli_sentinel, serve_goes_on_counting_where_it_was_when_the_master_changes) {
    redis_sentinels group;
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    std::ofstream(file)
        << R"({"listen": [{"address": "127.0.0.1:0"}], "admin": {"address": "127.0.0.1:0"}, "workers": 2,
        "access_log": "off", "redis": {"mode": "sentinel", "master": "group", "timeout": "5s",
                                       "sentinels": ["127.0.0.1:)"
        << group.port(0) << R"("]},
        "limits": {"mine": {"limit": 4, "window": "1h", "on_redis_failure": "closed"}},
        "upstreams": {"up": {"targets": ["http://127.0.0.1:1"]}},
        "routes": [{"name": "r", "path": "/*", "upstream": "up", "limits": ["mine"]}]})";
    program weir({"serve", "--config", file});
    auto const at = endpoint_in(weir.wait_for_error_line("listening on 127.0.0.1:"));
    // Each on a connection of its own, so that both workers are asked.
    auto const status = [&] { return http_client(at).get("/").status; };
    EXPECT_EQ(status(), 502) << "there is no upstream, but the limit admits";
    EXPECT_EQ(status(), 502);
    EXPECT_EQ(group.server(0).integer({"WAIT", "1", "10000"}), 1) << "the replica has what was counted";

    EXPECT_EQ(group.say(0, "SENTINEL FAILOVER group"), "OK");
    auto const is_master = [&] {
        try {
            return group.server(1).run({"INFO", "replication"}).find("role:master") != std::string::npos;
        } catch (std::runtime_error const&) {
            return false; // its connections end when it gets another role
        }
    };
    while (!is_master()) {
    }
    // While the workers move, requests are refused for want of Redis, which counts nothing.
    unsigned admitted = 2, refused = 0;
    for (int i = 0; refused < 4 && i < 100'000; ++i) {
        auto const said = status();
        admitted += said == 502;
        refused += said == 429;
        EXPECT_TRUE(said == 502 || said == 429 || said == 503) << said;
    }
    EXPECT_EQ(admitted, 4u) << "over both masters";
    EXPECT_EQ(refused, 4u);
}

} // namespace
} // namespace weir::test
