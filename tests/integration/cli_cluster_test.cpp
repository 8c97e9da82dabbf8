#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_cluster.hpp"

#include <gmock/gmock.h>

#include <fstream>

// The program on a Redis Cluster.

namespace weir::test {
namespace {

TEST(cli_cluster, serve_check_and_doctor_share_one_count_over_its_nodes) {
    redis_cluster all({.node_timeout = std::chrono::seconds{2}});
    temporary_directory const directory;
    auto const file = directory.path() + "/weir.json";
    std::ofstream(file)
        << R"({"listen": [{"address": "127.0.0.1:0"}], "admin": {"address": "127.0.0.1:0"}, "workers": 2,
        "access_log": "off", "redis": {"url": "redis://127.0.0.1:)"
        << free_port() << R"(", "mode": "cluster", "timeout": "5s", "nodes": ["127.0.0.1:)" << all.node(1).port()
        << R"("]},
        "limits": {"mine": {"per": ["ip"], "limit": 3, "window": "1h"},
                   "all": {"per": ["*"], "limit": 5, "window": "1h"}},
        "upstreams": {"up": {"targets": ["http://127.0.0.1:1"]}},
        "routes": [{"name": "r", "path": "/*", "upstream": "up", "limits": ["mine", "all"]}]})";
    program weir({"serve", "--config", file});
    auto const at = endpoint_in(weir.wait_for_error_line("listening on 127.0.0.1:"));
    EXPECT_EQ(http_client(at).get("/").status, 502) << "there is no upstream, but the limits admit";

    auto const url = all.url(2) + "?mode=cluster";
    auto const checked = run_program({"check", "--user", "127.0.0.1", "--endpoint", "r", "--limit", "mine=3/1h",
                                      "--redis", url, "--timeout", "10s"});
    EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
    EXPECT_EQ(http_client(at).get("/").status, 502);
    EXPECT_EQ(http_client(at).get("/").status, 429) << "two here and one by the command line";
    auto const doctor = run_program({"doctor", "--redis", url, "--timeout", "10s"});
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
    auto const alone =
        run_program({"check", "--user", "u", "--endpoint", "e", "--limit", "3/1h", "--redis", all.url()});
    EXPECT_EQ(alone.code, 2) << "a key of another node is not there";
    EXPECT_THAT(alone.err, testing::HasSubstr("mode=cluster"));
}

} // namespace
} // namespace weir::test
