#include "admin/redis_info.hpp"

#include "admin/io.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace weir::admin {
namespace {

struct told {
    char const* field;
    char const* metric;
    char const* help;
    prometheus::MetricType type;
};
constexpr std::array all_told{
    told{"used_memory", "weir_redis_used_memory_bytes", "Memory that Redis uses, by its own account.",
         prometheus::MetricType::Gauge},
    told{"instantaneous_ops_per_sec", "weir_redis_ops_per_second",
         "Commands a second that Redis executes for everybody.", prometheus::MetricType::Gauge},
    told{"evicted_keys", "weir_redis_evicted_keys_total", "Keys that Redis threw out for want of memory: counts lost.",
         prometheus::MetricType::Counter},
    told{"connected_clients", "weir_redis_connected_clients", "Connections to Redis, of everybody.",
         prometheus::MetricType::Gauge},
};

} // namespace

info_fields parse_info(std::string_view text) {
    info_fields fields;
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        auto colon = line.find(':');
        if (colon != line.npos && !line.starts_with('#'))
            fields.emplace(line.substr(0, colon), line.substr(colon + 1));
    }
    return fields;
}

std::uint64_t info_number(info_fields const& info, std::string_view name) {
    auto const found = info.find(name);
    std::uint64_t value = 0;
    if (found != info.end())
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
    return value;
}

void redis_info::start() {
    asio::co_spawn(
        timer_.get_executor(), [self = shared_from_this()]() { return self->run(); }, asio::detached);
}

asio::awaitable<void> redis_info::run() {
    for (;;) {
        redis::command const ask("INFO");
        redis::string_sink reply;
        auto const [ec] = co_await client_.async_exec(ask, reply, {.timeout = std::chrono::seconds{2}}, use_result);
        known_ = ec ? info_fields{} : parse_info(reply.value());
        if (info_number(known_, "cluster_enabled") != 0)
            co_return known_.clear();
        timer_.expires_after(ec ? std::chrono::seconds{1} : interval);
        if (auto const [stopped] = co_await timer_.async_wait(use_result); stopped)
            co_return;
    }
}

std::vector<prometheus::MetricFamily> redis_info::Collect() const {
    std::vector<prometheus::MetricFamily> out;
    for (auto const& each : all_told) {
        if (!known_.contains(each.field))
            continue;
        auto& family = out.emplace_back();
        family.name = each.metric;
        family.help = each.help;
        family.type = each.type;
        auto& metric = family.metric.emplace_back();
        auto const value = static_cast<double>(info_number(known_, each.field));
        (each.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    }
    return out;
}

nlohmann::ordered_json redis_info::show() const {
    auto shown = nlohmann::ordered_json::object();
    for (auto const& each : all_told)
        if (known_.contains(each.field))
            shown[each.field] = info_number(known_, each.field);
    for (auto const* text : {"redis_version", "role", "maxmemory_policy"})
        if (auto const found = known_.find(text); found != known_.end())
            shown[text] = found->second;
    return shown;
}

} // namespace weir::admin
