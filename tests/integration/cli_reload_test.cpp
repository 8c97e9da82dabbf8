#include "support/http_client.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/upstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

// `weir serve` told to read its configuration again.

namespace weir::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class cli_reload : public testing::Test {
protected:
    void write(std::uint16_t port, std::string const& more = {}) const { write(file(), port, more); }
    static void write(std::string const& file, std::uint16_t port, std::string const& more) {
        std::ofstream(file) << R"({"listen":[{"address":"127.0.0.1:0"}],"admin":{"address":"127.0.0.1:0"},)"
                            << R"("access_log":"off","upstreams":{"api":{"targets":["http://127.0.0.1:)" << port
                            << "\"]}}," << more << R"("routes":[{"name":"all","path":"/*","upstream":"api"}]})";
    }
    std::string file() const { return directory_.path() + "/weir.json"; }

    static http_client connect(std::string const& address) { return http_client(endpoint_in(address)); }

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

TEST_F(cli_reload, a_file_that_changes_is_read_again_where_it_says_so) {
    std::string const watched = R"("reload_on_change":true,)";
    write(one_.port(), watched);
    program weir({"serve", "--config", file()});
    auto client = connect(weir.wait_for_error_line("listening on "));
    auto const becomes = [&](std::string const& wanted) {
        std::string body;
        for (int i = 0; i < 100'000 && body != wanted; ++i)
            body = client.get("/").body;
        EXPECT_EQ(body, wanted);
    };
    becomes("one");
    weir.wait_for_error_line("metrics and health at ");

    write(other_.port(), watched); // in place
    becomes("other");

    auto const beside = directory_.path() + "/next";
    write(beside, one_.port(), watched);
    std::filesystem::rename(beside, file()); // in one step
    becomes("one");
    std::filesystem::rename(file(), beside); // away: there is nothing to read, and nothing is lost
    write(other_.port(), watched);
    becomes("other");

    write(one_.port(), watched + R"("limts":{},)");
    weir.wait_for_error_line("configuration refused (file change)");
    becomes("other");

    write(one_.port(), {}); // the last that is noticed
    becomes("one");
    EXPECT_THAT(weir.err(), HasSubstr("configuration reloaded (file change)"));
    write(other_.port());
    weir.signal(SIGHUP); // what was written before is there when this has been done
    weir.wait_for_error_line("configuration reloaded (SIGHUP)");
    becomes("other");
    weir.signal(SIGTERM);
    EXPECT_EQ(weir.wait(), 0);
}

TEST_F(cli_reload, the_swap_of_a_symbolic_link_is_noticed) {
    std::string const watched = R"("reload_on_change":true,)";
    // As a ConfigMap is mounted: weir.json -> ..data/weir.json, ..data -> a directory, which is swapped.
    namespace fs = std::filesystem;
    fs::path const root = directory_.path();
    upstream third(upstream::always("third"));
    auto const put = [&](std::string const& name, std::uint16_t port) {
        fs::create_directory(root / name);
        write(root / name / "weir.json", port, watched);
        fs::create_directory_symlink(name, root / "..new");
        fs::rename(root / "..new", root / "..data");
    };
    put("first", one_.port());
    fs::create_symlink("..data/weir.json", file());
    program weir({"serve", "--config", file()});
    auto client = connect(weir.wait_for_error_line("listening on "));
    weir.wait_for_error_line("metrics and health at ");
    auto const becomes = [&](std::string const& wanted) {
        std::string body;
        for (int i = 0; i < 100'000 && body != wanted; ++i)
            body = client.get("/").body;
        EXPECT_EQ(body, wanted);
    };
    becomes("one");
    put("second", other_.port());
    becomes("other");
    write(root / "second" / "weir.json", third.port(), watched); // where the link leads to now
    becomes("third");
    put("third", one_.port());
    becomes("one");
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
