#include "config/load.hpp"
#include "support/http_client.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <regex>
#include <set>

// What deploy/ holds, against the real program: the names in alerts and dashboard, a real Prometheus that scrapes it.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string const deploy = source_path("deploy/");

std::string read(std::string const& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The metrics that a text names, without the suffixes of histograms.
std::set<std::string> names_in(std::string const& text) {
    std::set<std::string> names;
    std::regex const name("\\b(?:weir|process)_[a-z0-9_]+");
    for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at)
        names.insert(std::regex_replace(at->str(), std::regex("_(bucket|sum|count)$"), ""));
    return names;
}

class deployed : public testing::Test {
protected:
    deployed() {
        json const settings{
            {"listen", {{{"address", "127.0.0.1:0"}}}},
            {"admin", {{"address", "127.0.0.1:0"}, {"token", token_}}},
            {"access_log", "off"},
            {"redis", {{"url", redis_.url()}}},
            {"limits", {{"per-user", {{"limit", 2}, {"window", "1h"}}}}},
            {"circuits", {{"api", json::object()}}},
            {"locks", {{"all", {{"key", "*"}}}}},
            {"upstreams",
             {{"api", {{"targets", {"http://127.0.0.1:" + std::to_string(dead_port())}}, {"circuit", "api"}}}}},
            {"routes",
             {{{"name", "all"}, {"path", "/*"}, {"upstream", "api"}, {"limits", {"per-user"}}, {"lock", "all"}}}}};
        std::ofstream(directory_.path() + "/weir.json") << settings.dump();
        weir_ =
            std::make_unique<program>(std::vector<std::string>{"serve", "--config", directory_.path() + "/weir.json"});
        served_ = port_in("listening on 127.0.0.1:");
        admin_ = port_in("\"event\":\"admin_listening\"");
    }

    std::uint16_t port_in(std::string const& text) {
        auto const line = weir_->wait_for_error_line(text);
        return static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind("127.0.0.1:") + 10)));
    }
    static http_client connect(std::uint16_t port) { return http_client({asio::ip::address_v4::loopback(), port}); }
    std::string scrape() const {
        return connect(admin_).get("/metrics", "Authorization: Bearer " + token_ + "\r\n").body;
    }

    std::string const token_ = "0123456789abcdef-scrape";
    temporary_directory directory_;
    redis_server redis_;
    std::unique_ptr<program> weir_;
    std::uint16_t served_ = 0, admin_ = 0;
};

TEST_F(deployed, every_metric_that_alerts_and_dashboard_name_is_there) {
    connect(served_).get("/");
    while (scrape().find("weir_redis_used_memory_bytes") == std::string::npos) {
    }
    auto const scraped = scrape();
    std::set<std::string> there;
    std::regex const type("# TYPE (\\S+)");
    for (std::sregex_iterator at(scraped.begin(), scraped.end(), type), end; at != end; ++at)
        there.insert(at->str(1));
    auto named = names_in(read(deploy + "prometheus/alerts.yml"));
    auto const on_dashboard = names_in(read(deploy + "grafana/weir.json"));
    EXPECT_GT(named.size(), 8u);
    EXPECT_GT(on_dashboard.size(), 20u);
    named.insert(on_dashboard.begin(), on_dashboard.end());
    for (auto const& name : named)
        EXPECT_TRUE(there.contains(name)) << name;
}

TEST(deploy, promtool_checks_and_tests_the_alert_rules) {
    auto const rules = deploy + "prometheus/";
    program check("promtool", {"check", "rules", rules + "alerts.yml"});
    EXPECT_EQ(check.wait(), 0) << check.out() << check.err();
    program test("promtool", {"test", "rules", rules + "alerts_test.yml"});
    EXPECT_EQ(test.wait(), 0) << test.out() << test.err();
    program config("promtool", {"check", "config", rules + "prometheus.yml"});
    EXPECT_EQ(config.wait(), 0) << config.out() << config.err();
}

TEST(deploy, the_configuration_of_the_composition_is_valid) {
    ::setenv("WEIR_ADMIN_TOKEN", "0123456789abcdef", 1);
    auto const loaded = config::load_file(deploy + "docker/weir.json");
    for (auto const& issue : loaded.issues)
        ADD_FAILURE() << config::to_string(issue, "weir.json");
    ::unsetenv("WEIR_ADMIN_TOKEN");
    EXPECT_FALSE(config::load_file(deploy + "docker/weir.json").value) << "no token, no open admin side";
}

TEST_F(deployed, a_real_prometheus_scrapes_it_and_evaluates_the_rules) {
    auto const port = free_port();
    auto const path = directory_.path() + '/';
    std::ofstream(path + "token") << token_;
    std::ofstream(path + "prometheus.yml")
        << "global: { scrape_interval: 100ms, evaluation_interval: 100ms }\n"
        << "rule_files: ['" << deploy << "prometheus/alerts.yml']\n"
        << "scrape_configs:\n  - job_name: weir\n    authorization: { credentials_file: " << path
        << "token }\n    static_configs: [{ targets: ['127.0.0.1:" << admin_ << "'] }]\n";
    program prometheus("prometheus",
                       {"--config.file=" + path + "prometheus.yml", "--storage.tsdb.path=" + path + "data",
                        "--web.listen-address=127.0.0.1:" + std::to_string(port)});
    prometheus.wait_for_error_line("Server is ready to receive web requests");
    for (auto const expected : {502, 502, 429})
        EXPECT_EQ(connect(served_).get("/").status, expected);
    auto const value = [&](std::string const& query) -> std::string {
        auto const answer = json::parse(connect(port).get("/api/v1/query?query=" + query).body);
        auto const& found = answer.at("data").at("result");
        return found.empty() ? "" : found[0].at("value")[1].get<std::string>();
    };
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    std::string const refused = "sum(weir_requests_total%7Bcode_class%3D%224xx%22%7D)";
    while (value(refused) != "1" && std::chrono::steady_clock::now() < deadline) {
    }
    EXPECT_EQ(value(refused), "1");
    EXPECT_EQ(value("up%7Bjob%3D%22weir%22%7D"), "1");
    EXPECT_EQ(value("min(weir_redis_up)"), "1");
    // The rules are evaluated over it without an error, the recorded ones have a value.
    while (value("weir:errors:ratio_rate5m") == "" && std::chrono::steady_clock::now() < deadline) {
    }
    EXPECT_NE(value("weir:errors:ratio_rate5m"), "");
    auto const rules = json::parse(connect(port).get("/api/v1/rules").body);
    for (auto const& rule : rules.at("data").at("groups")[0].at("rules"))
        EXPECT_EQ(rule.at("health"), "ok") << rule.dump();
}

} // namespace
} // namespace weir::test
