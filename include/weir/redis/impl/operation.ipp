#pragma once

#include <weir/redis/operation.hpp>

namespace weir::redis {

WEIR_DECL void deadline_heap::insert(operation& who, time_point when) {
    entries_.push_back({});
    sift_up(entries_.size() - 1, {when, &who});
}

WEIR_DECL void deadline_heap::erase(operation& who) noexcept {
    auto const at = std::exchange(who.heap_index_, operation::npos);
    if (at == operation::npos)
        return;
    auto const last = entries_.back();
    entries_.pop_back();
    if (at == entries_.size())
        return;
    if (at > 0 && last.when < entries_[(at - 1) / 2].when)
        sift_up(at, last);
    else
        sift_down(at, last);
}

WEIR_DECL void deadline_heap::sift_up(std::size_t hole, entry moved) noexcept {
    while (hole > 0) {
        auto const parent = (hole - 1) / 2;
        if (entries_[parent].when <= moved.when)
            break;
        place(hole, entries_[parent]);
        hole = parent;
    }
    place(hole, moved);
}

WEIR_DECL void deadline_heap::sift_down(std::size_t hole, entry moved) noexcept {
    for (;;) {
        auto child = 2 * hole + 1;
        if (child >= entries_.size())
            break;
        if (child + 1 < entries_.size() && entries_[child + 1].when < entries_[child].when)
            ++child;
        if (moved.when <= entries_[child].when)
            break;
        place(hole, entries_[child]);
        hole = child;
    }
    place(hole, moved);
}

} // namespace weir::redis
