#pragma once

#include <weir/lock/manager.hpp>

#include <string>
#include <utility>

namespace weir::lock {

/// So many permits over all instances, by name. One sorted set of the permits that are out, each with an end of its
/// own, is all there is: a permit that expires or is given back twice adds nothing.
///
/// Who waits for many permits is not overtaken by those who want few. Costs Redis time in proportion to how many are
/// out.
/// Thread safety: as its manager, which must outlive it.
class semaphore {
public:
    /// `limit`: how many there are, 1 to `max_limit`. Throws `std::invalid_argument` as `validate`.
    semaphore(manager& locks, std::string name, std::uint32_t limit, lock_options how = {})
        : locks_(&locks)
        , name_(std::move(name))
        , limit_(limit)
        , how_(how) {
        validate(name_, how_, {1, limit_});
    }

    std::string const& name() const noexcept { return name_; }
    std::uint32_t limit() const noexcept { return limit_; }

    /// There are so many from now on, for what is asked through this object: where there are fewer than are out, none
    /// is granted until enough came back. Instances with another number go by theirs, until they are told, too. Throws
    /// `std::invalid_argument` as the constructor.
    void resize(std::uint32_t limit) {
        validate(name_, how_, {1, limit});
        limit_ = limit;
    }

    /// Takes `weight` permits, 1 to the limit, as one. As `manager::async_lock`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_acquire(std::uint32_t weight, Token&& token) {
        return locks_->async_lock(name_, portion{weight, limit_}, how_, std::forward<Token>(token));
    }

private:
    manager* locks_;
    std::string name_;
    std::uint32_t limit_;
    lock_options how_;
};

} // namespace weir::lock
