#pragma once

#include "config/config.hpp"

#include <prometheus/collectable.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace weir::admin {

/// Which configuration is in effect, and how often it was changed: `weir_config_info`, whose label tells instances
/// apart that do not agree, and `weir_config_reloads_total`. Thread safety: safe.
class config_state final : public prometheus::Collectable {
public:
    explicit config_state(config::config const& settings);

    /// Another one took effect.
    void changed(config::config const& settings);
    /// Another one was refused.
    void refused();

    /// The first 16 hexadecimal digits of the SHA-256 of what is in effect: the same on instances that agree.
    std::string hash() const;

    std::vector<prometheus::MetricFamily> Collect() const override;

private:
    mutable std::mutex mutex_;
    std::string hash_;
    std::uint64_t changed_ = 0;
    std::uint64_t refused_ = 0;
};

} // namespace weir::admin
