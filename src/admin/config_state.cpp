#include "admin/config_state.hpp"

#include "config/show.hpp"

#include <weir/detail/hex.hpp>
#include <weir/detail/sha256.hpp>

#include <prometheus/metric_family.h>

#include <span>

namespace weir::admin {
namespace {

std::string hash_of(config::config const& settings) {
    auto const text = config::show(settings).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    auto const digest = detail::sha256(text);
    std::string out;
    detail::append_hex(out, std::span{digest}.first(8));
    return out;
}

prometheus::MetricFamily family(char const* name, char const* help, prometheus::MetricType type) {
    prometheus::MetricFamily made;
    made.name = name;
    made.help = help;
    made.type = type;
    return made;
}

} // namespace

config_state::config_state(config::config const& settings)
    : hash_(hash_of(settings)) {}

void config_state::changed(config::config const& settings) {
    auto hash = hash_of(settings);
    std::lock_guard const lock(mutex_);
    hash_ = std::move(hash);
    ++changed_;
}

void config_state::refused() {
    std::lock_guard const lock(mutex_);
    ++refused_;
}

std::string config_state::hash() const {
    std::lock_guard const lock(mutex_);
    return hash_;
}

std::vector<prometheus::MetricFamily> config_state::Collect() const {
    std::lock_guard const lock(mutex_);
    auto info = family("weir_config_info", "The configuration in effect, by a hash of it; always 1.",
                       prometheus::MetricType::Gauge);
    auto& one = info.metric.emplace_back();
    one.label.push_back({"hash", hash_});
    one.gauge.value = 1;
    auto reloads =
        family("weir_config_reloads_total", "Times that the configuration was read again, by what came of it.",
               prometheus::MetricType::Counter);
    for (auto const& [result, many] : {std::pair{"ok", changed_}, std::pair{"refused", refused_}}) {
        auto& metric = reloads.metric.emplace_back();
        metric.label.push_back({"result", result});
        metric.counter.value = static_cast<double>(many);
    }
    return {info, reloads};
}

} // namespace weir::admin
