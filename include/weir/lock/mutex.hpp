#pragma once

#include <weir/lock/manager.hpp>

#include <string>
#include <utility>

namespace weir::lock {

/// A lock of one holder at a time, by name. Thread safety: as its manager, which must outlive it.
class mutex {
public:
    /// Throws `std::invalid_argument` as `validate`.
    mutex(manager& locks, std::string name, lock_options how = {})
        : locks_(&locks)
        , name_(std::move(name))
        , how_(how) {
        validate(name_, how_, {});
    }

    std::string const& name() const noexcept { return name_; }

    /// As `manager::async_lock`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_lock(Token&& token) {
        return locks_->async_lock(name_, how_, std::forward<Token>(token));
    }
    /// The same without waiting: one round trip.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_try_lock(Token&& token) {
        auto how = how_;
        how.wait = std::chrono::milliseconds{0};
        return locks_->async_lock(name_, how, std::forward<Token>(token));
    }

private:
    manager* locks_;
    std::string name_;
    lock_options how_;
};

} // namespace weir::lock
