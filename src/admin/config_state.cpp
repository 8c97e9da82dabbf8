#include "admin/config_state.hpp"

#include "config/show.hpp"

#include <openssl/evp.h>
#include <prometheus/metric_family.h>

#include <array>

namespace weir::admin {
namespace {

std::string hash_of(config::config const& settings) {
    auto const text = config::show(settings).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    std::string out;
    for (std::size_t i = 0; i < 8; ++i) {
        out += "0123456789abcdef"[digest[i] >> 4];
        out += "0123456789abcdef"[digest[i] & 15];
    }
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
