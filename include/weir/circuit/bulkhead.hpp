#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace weir::circuit {

/// At most so many calls in flight from this process, so that one slow upstream does not hold everything else's
/// memory and connections. Local: it waits for nobody and tells nobody.
///
///     weir::circuit::bulkhead room{64};
///     auto const place = room.try_enter();
///     if (!place) return errc::bulkhead_full;
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class bulkhead {
    struct counter {
        std::size_t limit = 0;
        std::size_t in_flight = 0;
    };
    using counter_ptr = std::shared_ptr<counter>;

public:
    /// A call in flight; ends with the object, which may outlive its bulkhead.
    class place {
    public:
        place() = default;
        place(place&&) noexcept = default;
        place& operator=(place&& other) noexcept {
            leave();
            of_ = std::move(other.of_);
            return *this;
        }
        ~place() { leave(); }
        explicit operator bool() const noexcept { return of_ != nullptr; }
        void leave() noexcept {
            if (auto const of = std::move(of_))
                --of->in_flight;
        }

    private:
        friend class bulkhead;
        explicit place(counter_ptr of) noexcept
            : of_(std::move(of)) {}
        counter_ptr of_;
    };

    /// 0 lets nothing in.
    explicit bulkhead(std::size_t limit)
        : counter_(std::make_shared<counter>()) {
        counter_->limit = limit;
    }
    bulkhead(bulkhead const&) = delete;
    bulkhead& operator=(bulkhead const&) = delete;

    /// False where it is full.
    [[nodiscard]] place try_enter() noexcept {
        if (counter_->in_flight >= counter_->limit)
            return {};
        ++counter_->in_flight;
        return place(counter_);
    }
    std::size_t in_flight() const noexcept { return counter_->in_flight; }
    std::size_t limit() const noexcept { return counter_->limit; }
    /// A lower limit takes hold as calls end.
    void set_limit(std::size_t limit) noexcept { counter_->limit = limit; }

private:
    counter_ptr counter_;
};

} // namespace weir::circuit
