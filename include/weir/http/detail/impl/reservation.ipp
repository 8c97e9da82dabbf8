#pragma once

#include <weir/http/detail/reservation.hpp>

#include <utility>

namespace weir::http::detail {

WEIR_DECL std::vector<charge> charges_of(std::vector<owned_charge> const& all) {
    auto const part = [](std::optional<std::string> const& text) { return text ? key_part{*text} : key_part::any(); };
    std::vector<charge> asked;
    asked.reserve(all.size());
    for (auto const& one : all)
        asked.push_back({one.rule, part(one.user), part(one.endpoint), one.cost});
    return asked;
}

WEIR_DECL reservation::reservation(limiter& of, asio::any_io_executor const& executor,
                                   std::vector<owned_charge> charges, std::string id, std::chrono::milliseconds keep)
    : limiter_(of)
    , timer_(executor)
    , charges_(std::move(charges))
    , id_(std::move(id))
    , keep_(keep) {}

WEIR_DECL void reservation::begin(std::chrono::milliseconds life) {
    interval_ = life / 3;
    schedule();
}

WEIR_DECL void reservation::schedule() {
    timer_.expires_after(interval_);
    timer_.async_wait([self = shared_from_this()](error_code ec) {
        if (!ec && !self->ended_)
            self->renew();
    });
}

/// Whatever becomes of it, the request goes on: it has been admitted.
WEIR_DECL void reservation::renew() {
    auto all = charges_of(charges_);
    for (auto& one : all)
        if (one.rule->algorithm != algorithm::concurrency)
            one.cost = 0; // charged once
    limiter_.async_extend(all, request_options{.request_id = id_, .keep = keep_}, renewed_,
                          [self = shared_from_this()](error_code) {
                              if (!self->ended_)
                                  self->schedule();
                          });
}

WEIR_DECL void reservation::end() noexcept {
    if (std::exchange(ended_, true))
        return;
    try {
        timer_.cancel();
        auto all = charges_of(charges_);
        for (std::size_t i = 0; i < all.size(); ++i)
            all[i].cost = charges_[i].settled && used_ ? *used_ : as_reserved;
        limiter_.async_settle(all, request_options{.request_id = id_, .keep = keep_}, settled_,
                              [self = shared_from_this()](error_code) {});
    } catch (std::exception const&) { // it runs out by itself
    }
}

} // namespace weir::http::detail
