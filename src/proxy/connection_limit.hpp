#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace weir::proxy {

/// How many client connections may be open at once, over all workers, and how many idle upstream connections are kept,
/// so that the descriptors of the process suffice: who cannot be served is refused at once, and what is under way does
/// not fail for want of a descriptor. Thread safety: safe.
class connection_limit {
public:
    /// From the limit of open files and what is open now. Precondition: `workers` is not 0.
    static std::shared_ptr<connection_limit> of_this_process(unsigned workers);

    connection_limit(std::size_t most, std::size_t idle_per_worker) noexcept
        : most_(most)
        , idle_per_worker_(idle_per_worker) {}
    connection_limit(connection_limit const&) = delete;
    connection_limit& operator=(connection_limit const&) = delete;

    /// Takes a place; false: there is none. leave() gives it back.
    bool enter() noexcept {
        if (open_.fetch_add(1, std::memory_order_relaxed) < most_)
            return true;
        leave();
        return false;
    }
    void leave() noexcept { open_.fetch_sub(1, std::memory_order_relaxed); }

    std::size_t most() const noexcept { return most_; }
    std::size_t idle_per_worker() const noexcept { return idle_per_worker_; }

private:
    std::atomic<std::size_t> open_{0};
    std::size_t const most_;
    std::size_t const idle_per_worker_;
};

} // namespace weir::proxy
