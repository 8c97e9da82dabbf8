#pragma once

#include <weir/clock.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <boost/asio/basic_waitable_timer.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::http::detail {

/// What one rule is asked by one request, with its own memory.
struct owned_charge {
    weir::rule const* rule = nullptr;
    /// None: any.
    std::optional<std::string> user = {};
    std::optional<std::string> endpoint = {};
    std::uint64_t cost = 1;
    /// Whether only the end of the request tells the cost.
    bool settled = false;
};

/// As the limiter is asked them; valid as long as `all`.
WEIR_DECL std::vector<charge> charges_of(std::vector<owned_charge> const& all);

/// What an admitted request holds in the limits, places in flight and a cost that is known afterwards: renewed until
/// `end`, then settled. Keeps itself alive until Redis has heard.
class reservation : public std::enable_shared_from_this<reservation> {
public:
    WEIR_DECL reservation(limiter& of, asio::any_io_executor const& executor, std::vector<owned_charge> charges,
                          std::string id, std::chrono::milliseconds keep);

    /// Renews it three times in `life`.
    WEIR_DECL void begin(std::chrono::milliseconds life);
    void use(std::uint64_t units) noexcept { used_ = units; }
    WEIR_DECL void end() noexcept;

private:
    WEIR_DECL void schedule();
    WEIR_DECL void renew();

    limiter& limiter_;
    asio::basic_waitable_timer<boot_clock> timer_;
    std::vector<owned_charge> const charges_;
    std::string const id_;
    std::chrono::milliseconds const keep_;
    std::chrono::milliseconds interval_{0};
    std::optional<std::uint64_t> used_;
    bool ended_ = false;
    weir::decision renewed_;
    weir::settlement settled_;
};

/// Ends the reservation with the passage that holds it.
class reservation_ptr {
public:
    reservation_ptr() = default;
    explicit reservation_ptr(std::shared_ptr<reservation> of) noexcept
        : of_(std::move(of)) {}
    reservation_ptr(reservation_ptr&&) noexcept = default;
    reservation_ptr& operator=(reservation_ptr&& other) noexcept {
        reset();
        of_ = std::move(other.of_);
        return *this;
    }
    ~reservation_ptr() { reset(); }

    void reset() noexcept {
        if (auto const of = std::exchange(of_, nullptr))
            of->end();
    }
    explicit operator bool() const noexcept { return of_ != nullptr; }
    reservation* operator->() const noexcept { return of_.get(); }

private:
    std::shared_ptr<reservation> of_;
};

} // namespace weir::http::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/detail/impl/reservation.ipp>
#endif
