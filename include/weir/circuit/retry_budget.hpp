#pragma once

#include <weir/circuit/window.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace weir::circuit {

/// Retries as a share of recent requests, instead of a number for each request, which in an outage multiplies the load
/// ("Addressing Cascading Failures", Site Reliability Engineering, ch. 22). Each request brings `share` of a retry,
/// each retry takes one; both are forgotten after `window`. A few retries a second are free, for services with little
/// traffic.
///
/// Time is an argument. Distinct objects: safe; shared objects: unsafe.
class retry_budget {
public:
    struct options {
        /// Of the requests of the window: 0 to 10.
        double share = 0.2;
        /// 1 ms or more.
        std::chrono::milliseconds window{std::chrono::seconds{10}};
        /// Free within a window, whatever the traffic.
        std::uint32_t minimum = 3;
    };

    /// Throws `std::invalid_argument` where an option is out of range.
    WEIR_DECL explicit retry_budget(options how);
    retry_budget()
        : retry_budget(options{}) {}

    /// A request is made for the first time.
    WEIR_DECL void request(time_point now) noexcept;
    /// Whether it may be made again; if so, that is charged.
    WEIR_DECL bool try_retry(time_point now) noexcept;
    /// How many retries there is room for.
    WEIR_DECL std::uint64_t available(time_point now) noexcept;

private:
    static constexpr std::size_t bucket_count = 10;
    struct bucket {
        std::uint64_t requests = 0;
        std::uint64_t retries = 0;
    };

    WEIR_DECL bucket& advance(time_point now) noexcept;

    options how_;
    std::uint64_t share_;
    std::chrono::nanoseconds width_;
    std::int64_t current_ = 0;
    bucket total_;
    std::array<bucket, bucket_count> buckets_{};
};

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/retry_budget.ipp>
#endif
