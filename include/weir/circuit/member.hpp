#pragma once

#include <weir/circuit/core.hpp>
#include <weir/circuit/script.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::circuit {

/// How often an instance and Redis speak with each other.
struct member_options {
    /// How often counts are reported, where there are new ones; 1 ms or more. A tenth of it after a danger seen.
    std::chrono::milliseconds report_interval{100};
    /// How often the state is asked for where nothing was reported, behind the messages that tell of changes; at least
    /// the report interval. Also how often a Redis that is away is tried.
    std::chrono::milliseconds poll_interval{1000};
};

/// An instance's part in a fleet's circuit, without clock and I/O: a breaker, and what is to be said to Redis when, and
/// what the answers mean.
///
/// The owner asks `next` for requests, at each of its ticks and whenever `restless`, sends them, and hands back what
/// came of them by `answered` or `failed`. Distinct objects: safe; shared objects: unsafe.
class member {
public:
    /// Throws as `validate`. `seed` as for `core`.
    WEIR_DECL member(settings how, member_options options, std::uint64_t seed);

    enum class ask : std::uint8_t { report, lease, result };

    struct request {
        ask what = ask::report;
        caller who;
        circuit::report counts;
        circuit::probe probe;
    };

    core& breaker() noexcept { return core_; }
    core const& breaker() const noexcept { return core_; }

    /// What is to be sent now, one by one, until there is nothing. `tick`: the interval of reports is over.
    WEIR_DECL std::optional<request> next(time_point now, bool tick);
    /// Whether `next` may have something before the next tick; so it may after a change of the breaker, too.
    bool restless() const noexcept {
        return core_.has_probe_results() || core_.danger() || core_.wants_lease() || read_soon_;
    }
    /// When `core::on_time` or `next` is due by itself.
    WEIR_DECL time_point next_time() const noexcept;

    /// What came of a request. A lease that was lent is returned, for a call that waits for it, or to be put by
    /// with `core::lend`.
    struct lease {
        std::uint64_t epoch = 0;
        std::uint64_t id = 0;
        time_point until{};
    };
    WEIR_DECL std::optional<lease> answered(request const& which, script_answer const& what, time_point now);
    /// `sure`: Redis is certainly away, and not merely slow.
    WEIR_DECL void failed(request const& which, bool sure, time_point now);

    /// A change was published.
    WEIR_DECL void heard(change_message const& what, time_point now);
    /// Changes may have been missed.
    void missed() noexcept { read_soon_ = true; }
    /// There is no Redis to speak with.
    void alone() noexcept { read_soon_ = false; }

    /// Somebody waits for a lease: one more is asked for, up to as many as there are probes; false: in vain.
    WEIR_DECL bool want_lease(time_point now) noexcept;
    /// How many answers may yet bring a lease.
    std::uint32_t leases_pending() const noexcept { return leases_asked_ + leases_wanted_; }

    /// The last error of a call, for "why it tripped"; its first 120 bytes are kept.
    WEIR_DECL void note_error(std::string_view text) noexcept;

private:
    WEIR_DECL bool report_due(time_point now, bool tick);
    WEIR_DECL bool counts_matter() const noexcept;
    WEIR_DECL void adopt(fleet_view const& view, time_point now);
    WEIR_DECL caller who() noexcept;

    core core_;
    member_options options_;
    tally told_;
    bool told_run_ = false;
    // The epoch that was told of.
    std::uint64_t told_epoch_ = 0;
    bool reporting_ = false;
    bool read_soon_ = true;
    std::uint32_t leases_asked_ = 0;
    std::uint32_t leases_wanted_ = 0;
    std::uint32_t failures_in_a_row_ = 0;
    time_point last_report_{};
    time_point next_poll_{};
    time_point lease_again_{};
    // When the fleet's state is to be asked to move on: a little after its end, each instance at a time of its own.
    time_point due_ = time_point::max();
    std::array<char, 120> last_error_;
    std::size_t last_error_size_ = 0;
};

} // namespace weir::circuit

#if defined(WEIR_HEADER_ONLY)
#include <weir/circuit/impl/member.ipp>
#endif
