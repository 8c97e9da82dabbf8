#pragma once

#include "proxy/deadline_wheel.hpp"

#include <chrono>

namespace weir::proxy {

class admission;
struct exchange;

/// The places that one request holds in limits of `concurrency`: from its admission until they are given back, once.
/// In between its leases are renewed, so that a stream may last longer than they do.
///
/// Belongs to its exchange. Without admission::finish() the places are free again when their leases are over.
class held_places final : public deadline_wheel::entry {
public:
    bool held() const noexcept { return owner_ != nullptr; }
    /// How often the leases are to be renewed.
    std::chrono::milliseconds interval() const noexcept { return interval_; }

    /// `owner` and `of` must outlive end(). Sets no deadline.
    void begin(admission& owner, exchange& of, std::chrono::milliseconds interval) noexcept {
        owner_ = &owner;
        exchange_ = &of;
        interval_ = interval;
    }
    void end() noexcept {
        never();
        owner_ = nullptr;
    }

private:
    void on_deadline() override;

    admission* owner_ = nullptr;
    exchange* exchange_ = nullptr;
    std::chrono::milliseconds interval_{0};
};

} // namespace weir::proxy
