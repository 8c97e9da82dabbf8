#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

namespace weir::admin {

/// `weir_build_info`: a constant whose label says what runs. Thread safety: safe.
class info_collector final : public prometheus::Collectable {
public:
    explicit info_collector(std::string version)
        : version_(std::move(version)) {}

    std::vector<prometheus::MetricFamily> Collect() const override {
        return {info("weir_build_info", "What runs here; always 1.", "version", version_)};
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
};

} // namespace weir::admin
