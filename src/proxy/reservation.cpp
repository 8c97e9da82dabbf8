#include "proxy/admission.hpp"
#include "proxy/services.hpp"

#include <algorithm>
#include <memory>

// What an admitted request holds until it has ended: places in flight, and what was reserved for a cost that only its
// response says.
namespace weir::proxy {
namespace {

/// Leases and reservations last three times as long as the time between two renewals: two of these may fail.
constexpr int parts_of_life = 3;

/// One request that is finished, until Redis has heard of it.
struct finished_request {
    weir::settlement result;
    /// Indices into the configuration's limits, and units used, of what its response said the cost of.
    std::vector<std::pair<std::size_t, std::uint64_t>> used;
    std::vector<std::size_t> charges;
};

} // namespace

bool admission::reserve(exchange& x) {
    auto const& route = config_.routes[x.route];
    if (std::none_of(route.limits.begin(), route.limits.end(),
                     [this](std::size_t index) { return config_.limits[index].settle.has_value(); }))
        return false;
    auto const& upstream = config_.upstreams[route.upstream];
    x.keep = parts_of_life * std::max(upstream.first_byte_timeout, upstream.idle_timeout);
    ids_.append(x.reservation); // of our own: a client that repeats its request id must not ride for free
    return true;
}

void admission::hold(exchange& x) {
    auto shortest = std::chrono::milliseconds::max();
    for (auto const& one : x.decision.rules)
        if (one.rule->algorithm == algorithm::concurrency && one.allowed && one.asked)
            shortest = std::min(shortest, one.window);
    if (!x.reservation.empty() && !x.decision.error) { // without Redis, nothing was reserved there
        shortest = std::min(shortest, x.keep);
        watch_use(x);
    }
    if (shortest == std::chrono::milliseconds::max())
        return;
    x.places.begin(*this, x, shortest / parts_of_life);
    wheel_.expires_after(x.places, x.places.interval());
}

void admission::watch_use(exchange& x) {
    auto const& limits = config_.routes[x.route].limits;
    for (std::size_t i = 0; i < limits.size(); ++i) {
        auto const& limit = config_.limits[limits[i]];
        if (!limit.settle || !x.decision.rules[i].asked)
            continue;
        x.usages.emplace_back(i, std::make_unique<http::usage_reader>(*limit.settle));
        count_cost(limits[i], metrics::cost_kind::reserved, x.charges[i].cost);
    }
}

void admission::begin_response(exchange& x) noexcept {
    for (auto& [charge, reader] : x.usages)
        reader->start(x.response);
}

void admission::take_response(exchange& x, std::string_view piece) {
    for (auto& [charge, reader] : x.usages)
        reader->feed(piece);
}

void held_places::on_deadline() { owner_->renew(*exchange_); }

void admission::renew(exchange& x) {
    wheel_.expires_after(x.places, x.places.interval());
    auto charges = x.charges;
    auto const asked = std::span{charges}.first(x.decision.rules.size());
    for (auto& one : asked)
        if (one.rule->algorithm != algorithm::concurrency)
            one.cost = 0; // charged once
    auto result = std::make_unique<decision>();
    auto& into = *result;
    // Whatever becomes of it, the request goes on: it has been admitted.
    limiter_.async_extend(asked, request_options{x.decision.request_id, x.keep}, into,
                          [result = std::move(result), pin = services_ptr(owner_)](error_code) {});
}

void admission::finish(exchange& x, bool sent) {
    if (!x.places.held())
        return;
    x.places.end();
    auto charges = x.charges;
    auto const asked = std::span{charges}.first(x.decision.rules.size());
    for (auto& one : asked)
        one.cost = as_reserved;
    auto made = std::make_unique<finished_request>();
    for (auto& [i, reader] : x.usages) {
        reader->finish();
        auto const used = sent ? reader->value() : std::optional<std::uint64_t>{0};
        if (used)
            charges[i].cost = *used;
        made->charges.push_back(i);
        made->used.emplace_back(config_.routes[x.route].limits[i], used.value_or(x.charges[i].cost));
    }
    auto& into = made->result;
    ++*finishing_;
    limiter_.async_settle(asked, request_options{x.decision.request_id, x.keep}, into,
                          [this, made = std::move(made), pin = services_ptr(owner_)](error_code ec) {
                              --*finishing_;
                              for (std::size_t i = 0; i < made->used.size() && !ec; ++i) {
                                  auto const& [limit, units] = made->used[i];
                                  count_cost(limit, metrics::cost_kind::settled, units);
                                  count_cost(limit, metrics::cost_kind::refunded,
                                             made->result.rules[made->charges[i]].refunded);
                              }
                          });
}

} // namespace weir::proxy
