#pragma once

#include "support/http_client.hpp"

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace weir::test {

/// Holds a thread back: one that answers as an upstream, or a worker.
class gate {
public:
    /// Called by that thread: returns when the gate is open.
    void pass() {
        std::unique_lock lock(mutex_);
        ++arrived_;
        changed_.notify_all();
        changed_.wait_for(lock, http_client::patience, [&] { return open_; });
    }
    bool wait_for_arrivals(std::size_t n) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, http_client::patience, [&] { return arrived_ >= n; });
    }
    void open() {
        std::lock_guard const lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t arrived_ = 0;
    bool open_ = false;
};

} // namespace weir::test
