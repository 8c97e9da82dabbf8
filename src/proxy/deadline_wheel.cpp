#include "proxy/deadline_wheel.hpp"

#include <algorithm>

namespace weir::proxy {

deadline_wheel::deadline_wheel(boot_clock::time_point now)
    : start_(now) {}

void deadline_wheel::expires_after(entry& e, std::chrono::nanoseconds after) {
    // The present tick has already begun, so one is added: never early.
    auto const ticks = std::max<std::int64_t>(after / tick, 0) + 1;
    e.due_ = now_ + static_cast<std::uint64_t>(ticks) + (after % tick != std::chrono::nanoseconds{0} ? 1 : 0);
    if (!e.is_linked() || e.slot_ > e.due_)
        link(e);
}

void deadline_wheel::link(entry& e) {
    e.unlink();
    // What lies beyond the horizon waits in the last slot and is linked again from there.
    e.slot_ = std::min(e.due_, now_ + slot_count - 1);
    slots_[e.slot_ % slot_count].push_back(e);
}

void deadline_wheel::move_to(boot_clock::time_point now) {
    auto const target = static_cast<std::uint64_t>((now - start_) / tick);
    if (target > now_ + slot_count)
        now_ = target - slot_count; // after a suspend: every slot comes up once
    while (now_ < target) {
        ++now_;
        passed_.splice(passed_.end(), slots_[now_ % slot_count]);
    }
}

void deadline_wheel::fire() {
    while (!passed_.empty()) {
        auto& e = passed_.front();
        passed_.pop_front();
        if (e.due_ == entry::none)
            continue;
        if (e.due_ > now_) {
            link(e);
            continue;
        }
        e.due_ = entry::none;
        e.on_deadline();
    }
}

} // namespace weir::proxy
