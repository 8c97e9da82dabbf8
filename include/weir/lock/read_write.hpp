#pragma once

#include <weir/lock/manager.hpp>

#include <string>
#include <utility>

namespace weir::lock {

/// A lock of many readers or one writer, by name. All who wait stand in one queue: readers who come after a writer go
/// behind him, so that neither starves; readers next to each other are let in together.
///
/// A name is that of a read_write lock or that of a mutex, for all who use it.
/// Thread safety: as its manager, which must outlive it.
class read_write {
public:
    /// Throws `std::invalid_argument` as `validate`.
    read_write(manager& locks, std::string name, lock_options how = {})
        : locks_(&locks)
        , name_(std::move(name))
        , how_(how) {
        validate(name_, how_, writer);
    }

    std::string const& name() const noexcept { return name_; }

    /// For writing. As `manager::async_lock`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_lock(Token&& token) {
        return locks_->async_lock(name_, writer, how_, std::forward<Token>(token));
    }
    /// For reading. As `manager::async_lock`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, lease)) Token>
    auto async_lock_shared(Token&& token) {
        return locks_->async_lock(name_, reader, how_, std::forward<Token>(token));
    }

    static constexpr portion reader{1, max_limit}, writer{max_limit, max_limit};

private:
    manager* locks_;
    std::string name_;
    lock_options how_;
};

} // namespace weir::lock
