#include "cli/doctor.hpp"

#include <gmock/gmock.h>

namespace {

using namespace weir::cli;
using level = finding::level;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::HasSubstr;

/// INFO of a healthy server with `changes` put over it.
info_fields info(info_fields changes = {}) {
    changes.merge(
        parse_info("# Server\r\nredis_version:7.0.15\r\nrole:master\r\nconnected_slaves:0\r\n"
                   "cluster_enabled:0\r\nused_memory:1000000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
                   "evicted_keys:0\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\n"
                   "connected_clients:3\r\nmaxclients:10000\r\n"));
    return changes;
}

finding find(std::vector<finding> const& all, std::string_view what) {
    for (auto const& one : all)
        if (one.what == what)
            return one;
    ADD_FAILURE() << "no finding about " << what;
    return {};
}

TEST(cli_doctor, a_healthy_server_has_nothing_to_remedy) {
    for (auto const& found : judge_info(info())) {
        EXPECT_EQ(found.how, level::ok) << found.what;
        EXPECT_EQ(found.remedy, "") << found.what;
    }
}

TEST(cli_doctor, a_replica_is_a_problem_that_names_its_master) {
    auto found =
        find(judge_info(info({{"role", "slave"}, {"master_host", "10.0.0.9"}, {"master_port", "6379"}})), "role");
    EXPECT_EQ(found.how, level::problem);
    EXPECT_THAT(found.detail, HasSubstr("10.0.0.9:6379"));
    EXPECT_EQ(find(judge_info(info({{"cluster_enabled", "1"}})), "role").how, level::problem);
    EXPECT_EQ(find(judge_info(info({{"cluster_enabled", "1"}}), true), "role").how, level::ok);
}

TEST(cli_doctor, old_versions_are_told_to_upgrade) {
    EXPECT_EQ(find(judge_info(info({{"redis_version", "4.0.9"}})), "version").how, level::problem);
    EXPECT_EQ(find(judge_info(info({{"redis_version", "5.0.14"}})), "version").how, level::warning);
}

TEST(cli_doctor, memory_and_eviction_threaten_counts) {
    EXPECT_EQ(find(judge_info(info({{"maxmemory", "1050000"}})), "memory").how, level::problem);
    EXPECT_EQ(find(judge_info(info({{"maxmemory", "1300000"}})), "memory").how, level::warning);
    EXPECT_EQ(find(judge_info(info({{"maxmemory", "9000000"}})), "memory").how, level::ok);
    EXPECT_EQ(find(judge_info(info({{"evicted_keys", "5"}})), "eviction").how, level::warning);
    EXPECT_EQ(find(judge_info(info({{"maxmemory", "9000000"}, {"maxmemory_policy", "allkeys-lru"}})), "eviction").how,
              level::note);
}

TEST(cli_doctor, data_lost_on_restart_is_a_note_and_a_failing_disk_a_problem) {
    auto lost = find(judge_info(info({{"aof_enabled", "0"}, {"rdb_last_bgsave_status", "ok"}})), "persistence");
    EXPECT_EQ(lost.how, level::note);
    EXPECT_THAT(lost.remedy, HasSubstr("appendonly"));
    EXPECT_EQ(find(judge_info(info({{"aof_enabled", "0"}, {"rdb_last_bgsave_status", "err"}})), "persistence").how,
              level::problem);
    EXPECT_EQ(find(judge_info(info({{"aof_last_write_status", "err"}})), "persistence").how, level::problem);
}

TEST(cli_doctor, clients_near_their_maximum_are_a_warning) {
    EXPECT_EQ(find(judge_info(info({{"connected_clients", "9500"}})), "clients").how, level::warning);
}

TEST(cli_doctor, a_clock_that_differs_by_a_second_is_a_warning_in_both_directions) {
    EXPECT_EQ(judge_clock(milliseconds{999}).how, level::ok);
    EXPECT_EQ(judge_clock(milliseconds{1000}).how, level::warning);
    auto behind = judge_clock(-milliseconds{1500});
    EXPECT_EQ(behind.how, level::warning);
    EXPECT_THAT(behind.detail, HasSubstr("behind here"));
}

TEST(cli_doctor, latency_is_judged_by_its_tail_against_the_timeout) {
    std::vector<microseconds> samples(200, microseconds{100});
    EXPECT_EQ(judge_latency(samples, milliseconds{50}).how, level::ok);
    samples[7] = milliseconds{40}; // one in 200 is past the 99th percentile
    EXPECT_EQ(judge_latency(samples, milliseconds{50}).how, level::ok);
    samples[8] = samples[9] = milliseconds{40};
    EXPECT_EQ(judge_latency(samples, milliseconds{50}).how, level::warning);
}

} // namespace
