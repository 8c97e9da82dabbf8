#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

namespace weir::admin {

/// `weir_build_info` and `weir_config_info`: constants whose labels tell instances apart. Thread safety: safe.
class info_collector final : public prometheus::Collectable {
public:
    info_collector(std::string version, std::string config_hash)
        : version_(std::move(version))
        , config_hash_(std::move(config_hash)) {}

    std::vector<prometheus::MetricFamily> Collect() const override {
        return {
            info("weir_build_info", "What runs here; always 1.", "version", version_),
            info("weir_config_info", "The configuration in effect, by a hash of it; always 1.", "hash", config_hash_)};
    }

private:
    static prometheus::MetricFamily info(char const* name, char const* help, char const* label,
                                         std::string const& value) {
        prometheus::MetricFamily family;
        family.name = name;
        family.help = help;
        family.type = prometheus::MetricType::Gauge;
        auto& metric = family.metric.emplace_back();
        metric.label.push_back({label, value});
        metric.gauge.value = 1;
        return family;
    }

    std::string version_;
    std::string config_hash_;
};

} // namespace weir::admin
