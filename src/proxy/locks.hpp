#pragma once

#include "config/config.hpp"

#include <weir/lock/manager.hpp>
#include <weir/metrics/blocks.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::proxy {

/// One worker's locks: those that its requests hold and wait for, and what is counted of them. Belongs to the worker's
/// thread.
class locks final : private lock::lock_observer {
public:
    /// `redis` and `news` must outlive the object.
    locks(redis::client& redis, redis::subscriber& news, std::string key_prefix);
    locks(locks const&) = delete;
    locks& operator=(locks const&) = delete;
    ~locks() = default;

    /// Another configuration is in effect, which `counts` counts for, and must outlive.
    void change(config::config const& to, metrics::worker_block& counts);

    lock::manager& manager() noexcept { return manager_; }

    /// Whether Redis has heard of all that was given back, or had its time to. To be asked when no more is taken.
    bool settled(boot_clock::time_point now);

private:
    void on_acquired(std::string_view name, std::chrono::nanoseconds waited,
                     std::chrono::microseconds since_offer) override;
    void on_released(std::string_view name, std::chrono::nanoseconds held) override;
    void on_lost(std::string_view name, std::chrono::nanoseconds held) override;
    metrics::lock_block* find(std::string_view name) const noexcept;

    std::chrono::milliseconds const patience_;
    boot_clock::time_point give_up_at_ = boot_clock::time_point::max();
    std::vector<std::pair<std::string, metrics::lock_block*>> counts_;
    lock::manager manager_;
};

} // namespace weir::proxy
