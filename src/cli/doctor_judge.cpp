#include "cli/doctor.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace weir::cli {
namespace {

using level = finding::level;

std::string field(info_fields const& info, std::string_view name) {
    auto found = info.find(name);
    return found == info.end() ? std::string{} : found->second;
}

std::uint64_t number(info_fields const& info, std::string_view name) {
    auto text = field(info, name);
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string megabytes(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
    return text;
}

std::string milliseconds_text(std::chrono::microseconds time) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f ms", static_cast<double>(time.count()) / 1e3);
    return text;
}

finding judge_version(info_fields const& info) {
    auto version = field(info, "redis_version");
    unsigned major = 0;
    std::from_chars(version.data(), version.data() + version.size(), major);
    if (major < 5)
        return {level::problem, "version", version, "upgrade: 7.0 is what Weir is tested with, 5.0 the least"};
    if (major < 6)
        return {level::warning, "version", version, "upgrade: 7.0 is what Weir is tested with"};
    return {level::ok, "version", version, {}};
}

finding judge_role(info_fields const& info, bool as_cluster) {
    bool const is_cluster = field(info, "cluster_enabled") == "1";
    if (is_cluster && as_cluster)
        return {level::ok, "role", "member of a Redis Cluster; the findings are those of one node", {}};
    if (is_cluster)
        return {level::problem, "role", "member of a Redis Cluster",
                "write ?mode=cluster behind the URL, or \"mode\": \"cluster\" in the file: alone it refuses the keys "
                "of other nodes"};
    if (field(info, "role") == "master")
        return {level::ok, "role", "master, " + std::to_string(number(info, "connected_slaves")) + " replicas", {}};
    return {level::problem, "role", "replica of " + field(info, "master_host") + ':' + field(info, "master_port"),
            "name that master: a replica refuses writes"};
}

finding judge_memory(info_fields const& info) {
    auto used = number(info, "used_memory");
    auto most = number(info, "maxmemory");
    auto detail = megabytes(used) + " used of " + (most ? megabytes(most) : "the machine's memory (no maxmemory)");
    if (most && used >= most / 10 * 9)
        return {level::problem, "memory", detail, "raise maxmemory before writes are refused or counts evicted"};
    if (most && used >= most / 4 * 3)
        return {level::warning, "memory", detail, "raise maxmemory in time"};
    return {level::ok, "memory", detail, {}};
}

finding judge_eviction(info_fields const& info) {
    auto policy = field(info, "maxmemory_policy");
    auto evicted = number(info, "evicted_keys");
    if (evicted)
        return {level::warning, "eviction", policy + ", " + std::to_string(evicted) + " keys evicted since the start",
                "raise maxmemory: whoever's count is evicted starts afresh"};
    if (policy != "noeviction" && number(info, "maxmemory"))
        return {level::note, "eviction", policy + ": when memory runs out, counts are dropped",
                "CONFIG SET maxmemory-policy noeviction, where nothing else shares this Redis"};
    return {level::ok, "eviction", policy, {}};
}

finding judge_persistence(info_fields const& info) {
    if (field(info, "loading") == "1")
        return {level::problem, "persistence", "reading its data from disk", "wait until it has finished"};
    auto append_only = field(info, "aof_enabled") == "1";
    auto failed = field(info, append_only ? "aof_last_write_status" : "rdb_last_bgsave_status") == "err";
    if (failed)
        return {level::problem, "persistence", "the last write to disk failed",
                "free the disk: Redis refuses writes (MISCONF) until it succeeds"};
    if (append_only)
        return {level::ok, "persistence", "append-only file", {}};
    return {level::note, "persistence", "no append-only file: after a crash, counts since the last snapshot are gone",
            "CONFIG SET appendonly yes, if limits must survive a restart"};
}

finding judge_clients(info_fields const& info) {
    auto connected = number(info, "connected_clients");
    auto most = number(info, "maxclients");
    auto detail = std::to_string(connected) + (most ? " of " + std::to_string(most) : std::string{}) + " connected";
    if (most && connected >= most / 10 * 9)
        return {level::warning, "clients", detail, "raise maxclients; CLIENT LIST tells who they are"};
    return {level::ok, "clients", detail, {}};
}

} // namespace

std::string_view to_string(finding::level value) noexcept {
    switch (value) {
    case level::ok:
        return "ok";
    case level::note:
        return "note";
    case level::warning:
        return "warning";
    case level::problem:
        break;
    }
    return "problem";
}

std::vector<finding> judge_info(info_fields const& info, bool as_cluster) {
    return {judge_version(info),  judge_role(info, as_cluster), judge_memory(info),
            judge_eviction(info), judge_persistence(info),      judge_clients(info)};
}

finding judge_clock(std::chrono::microseconds redis_ahead) {
    using namespace std::chrono_literals;
    auto distance = std::chrono::abs(redis_ahead);
    auto detail = milliseconds_text(distance) + (redis_ahead.count() >= 0 ? " ahead of here" : " behind here");
    if (distance >= 1s)
        return {level::warning, "clock", detail,
                "run a time service on both machines: limits go by the clock of Redis, logs by that of here"};
    return {level::ok, "clock", detail, {}};
}

finding judge_latency(std::vector<std::chrono::microseconds> samples, std::chrono::milliseconds timeout) {
    std::sort(samples.begin(), samples.end());
    auto median = samples[samples.size() / 2];
    auto late = samples[(samples.size() - 1) * 99 / 100];
    auto detail = "p50 " + milliseconds_text(median) + ", p99 " + milliseconds_text(late) + " of " +
                  std::to_string(samples.size()) + " round trips";
    if (late * 2 > timeout)
        return {level::warning, "latency", detail,
                "too near to the timeout of " + std::to_string(timeout.count()) +
                    " ms: bring Redis nearer, look at SLOWLOG GET, or raise redis.timeout"};
    return {level::ok, "latency", detail, {}};
}

} // namespace weir::cli
