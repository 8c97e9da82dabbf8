#include "proxy/locks.hpp"

#include <algorithm>

namespace weir::proxy {
namespace {

lock::manager_options options_of_manager(std::string key_prefix, lock::lock_observer& observer) {
    lock::manager_options how;
    how.key_prefix = std::move(key_prefix);
    how.observer = &observer;
    return how;
}

} // namespace

locks::locks(redis::client& redis, redis::subscriber& news, std::string key_prefix)
    : patience_(2 * redis.options().timeout)
    , manager_(redis, news, options_of_manager(std::move(key_prefix), *this)) {}

void locks::change(config::config const& to, metrics::worker_block& counts) {
    counts_.clear();
    for (std::size_t i = 0; i < to.locks.size(); ++i)
        counts_.emplace_back(to.locks[i].name, &counts.locks[i]);
}

bool locks::settled(boot_clock::time_point now) {
    if (manager_.stats().live == 0)
        return true;
    give_up_at_ = std::min(give_up_at_, now + patience_);
    return now >= give_up_at_;
}

/// A lock is called as in the configuration, up to a slash and what tells those of that name apart.
metrics::lock_block* locks::find(std::string_view name) const noexcept {
    auto const configured = name.substr(0, name.find('/'));
    for (auto const& [known, block] : counts_)
        if (known == configured)
            return block;
    return nullptr;
}

void locks::on_acquired(std::string_view name, std::chrono::nanoseconds waited, std::chrono::microseconds since_offer) {
    auto* const counts = find(name);
    if (!counts)
        return;
    counts->wait.observe(waited);
    if (since_offer.count() > 0)
        counts->handoff.observe(since_offer);
}

void locks::on_released(std::string_view name, std::chrono::nanoseconds held) {
    if (auto* const counts = find(name))
        counts->hold.observe(held);
}

void locks::on_lost(std::string_view name, std::chrono::nanoseconds held) {
    if (auto* const counts = find(name)) {
        counts->hold.observe(held);
        counts->lost.increment();
    }
}

} // namespace weir::proxy
