#pragma once

#include <weir/metrics/blocks.hpp>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>

// For programs that use prometheus-cpp; <weir/weir.hpp> does not include it.
namespace weir::metrics {

/// Whether every worker is connected to Redis. Thread safety: safe.
inline bool redis_up(counters const& all) noexcept {
    for (std::size_t i = 0; i < all.workers(); ++i)
        if (all.worker(i).redis.up.value() == 0)
            return false;
    return true;
}
inline bool redis_up(registry const& all) noexcept { return redis_up(*all.now()); }

namespace detail {

/// One scrape of the counters.
class scrape {
public:
    explicit scrape(std::shared_ptr<counters const> counters)
        : counters_(std::move(counters)) {}

    std::vector<prometheus::MetricFamily> collect() const {
        std::vector<prometheus::MetricFamily> out;
        add_requests(out);
        add_upstreams(out);
        add_circuits(out);
        add_locks(out);
        add_decisions(out);
        add_redis(out);
        return out;
    }

private:
    using family = prometheus::MetricFamily;
    using labels = std::vector<std::pair<std::string_view, std::string_view>>;

    static family& start(std::vector<family>& out, char const* name, char const* help, prometheus::MetricType type) {
        auto& made = out.emplace_back();
        made.name = name;
        made.help = help;
        made.type = type;
        return made;
    }

    static prometheus::ClientMetric& add(family& to, labels const& with) {
        auto& metric = to.metric.emplace_back();
        for (auto const& [name, value] : with)
            metric.label.push_back({std::string(name), std::string(value)});
        return metric;
    }

    /// The sum over all workers of what `pick` finds in a block.
    template <class Pick>
    double sum(Pick const& pick) const {
        double total = 0;
        for (std::size_t i = 0; i < counters_->workers(); ++i)
            total += static_cast<double>(pick(counters_->worker(i)).value());
        return total;
    }

    template <class Pick>
    void add_counter(family& to, labels const& with, Pick const& pick) const {
        add(to, with).counter.value = sum(pick);
    }

    template <class Pick>
    void add_gauge(family& to, labels const& with, Pick const& pick) const {
        add(to, with).gauge.value = sum(pick);
    }

    template <class Pick>
    void add_histogram(family& to, labels const& with, Pick const& pick) const {
        auto& made = add(to, with).histogram;
        std::uint64_t below = 0;
        double nanoseconds = 0;
        for (std::size_t b = 0; b <= histogram::bounds.size(); ++b) {
            for (std::size_t i = 0; i < counters_->workers(); ++i)
                below += pick(counters_->worker(i)).bucket(b);
            prometheus::ClientMetric::Bucket bucket;
            bucket.cumulative_count = below;
            bucket.upper_bound = b < histogram::bounds.size()
                                     ? std::chrono::duration<double>(histogram::bounds[b]).count()
                                     : std::numeric_limits<double>::infinity();
            made.bucket.push_back(bucket);
        }
        for (std::size_t i = 0; i < counters_->workers(); ++i)
            nanoseconds += static_cast<double>(pick(counters_->worker(i)).sum());
        made.sample_count = below;
        made.sample_sum = nanoseconds / 1e9;
    }

    static std::string_view name_of(std::vector<std::string> const& names, std::size_t i) noexcept {
        return i < names.size() ? std::string_view{names[i]} : std::string_view{"other"};
    }

    void add_requests(std::vector<family>& out) const {
        auto const& names = counters_->labels().routes;
        auto& requests =
            start(out, "weir_requests_total", "Requests answered, by route and class of status; `other` is no route.",
                  prometheus::MetricType::Counter);
        for (std::size_t r = 0; r <= names.size(); ++r)
            for (std::size_t c = 0; c < code_class_names.size(); ++c)
                add_counter(requests, {{"route", name_of(names, r)}, {"code_class", code_class_names[c]}},
                            [&](worker_block const& w) -> counter const& {
                                return w.routes[r].requests[static_cast<code_class>(c)];
                            });
        add_by_route(out, "weir_request_duration_seconds",
                     "From the first byte of a request to the last of its answer.", &route_block::duration);
        add_by_route(out, "weir_time_to_first_byte_seconds",
                     "From the first byte of a request to the first of the upstream's answer.",
                     &route_block::time_to_first_byte);
        auto& streams =
            start(out, "weir_stream_outcomes_total", "How responses of unknown length (streams) ended, by route.",
                  prometheus::MetricType::Counter);
        for (std::size_t r = 0; r < names.size(); ++r)
            for (std::size_t o = 0; o < stream_outcome_names.size(); ++o)
                add_counter(streams, {{"route", names[r]}, {"outcome", stream_outcome_names[o]}},
                            [&](worker_block const& w) -> counter const& {
                                return w.routes[r].streams[static_cast<stream_outcome>(o)];
                            });
        add_gauge(start(out, "weir_requests_in_flight", "Requests whose answer is not complete.",
                        prometheus::MetricType::Gauge),
                  {}, [](worker_block const& w) -> gauge const& { return w.requests_in_flight; });
        add_histogram(start(out, "weir_admission_duration_seconds",
                            "What deciding the limits adds before the upstream.", prometheus::MetricType::Histogram),
                      {}, [](worker_block const& w) -> histogram const& { return w.admission; });
    }

    void add_by_route(std::vector<family>& out, char const* name, char const* help,
                      histogram route_block::*which) const {
        auto const& names = counters_->labels().routes;
        auto& made = start(out, name, help, prometheus::MetricType::Histogram);
        for (std::size_t r = 0; r <= names.size(); ++r)
            add_histogram(made, {{"route", name_of(names, r)}},
                          [&](worker_block const& w) -> histogram const& { return w.routes[r].*which; });
    }

    void add_upstreams(std::vector<family>& out) const {
        auto const& names = counters_->labels().upstreams;
        if (names.empty())
            return;
        auto& duration =
            start(out, "weir_upstream_duration_seconds",
                  "From the request sent to the last byte of the answer received.", prometheus::MetricType::Histogram);
        for (std::size_t u = 0; u < names.size(); ++u)
            add_histogram(duration, {{"upstream", names[u]}},
                          [&](worker_block const& w) -> histogram const& { return w.upstreams[u].duration; });
        auto& ill = start(out, "weir_upstream_targets_ill", "Targets that the health check has found ill.",
                          prometheus::MetricType::Gauge);
        for (std::size_t u = 0; u < names.size(); ++u)
            add_gauge(ill, {{"upstream", names[u]}},
                      [&](worker_block const& w) -> gauge const& { return w.upstreams[u].ill; });
        auto& ejections =
            start(out, "weir_upstream_ejections_total",
                  "Targets that a worker took out for failing too often in a row.", prometheus::MetricType::Counter);
        for (std::size_t u = 0; u < names.size(); ++u)
            add_counter(ejections, {{"upstream", names[u]}},
                        [&](worker_block const& w) -> counter const& { return w.upstreams[u].ejections; });
        auto& errors =
            start(out, "weir_upstream_errors_total", "Attempts that an upstream failed without an answer, by kind.",
                  prometheus::MetricType::Counter);
        for (std::size_t u = 0; u < names.size(); ++u)
            for (std::size_t k = 0; k < upstream_error_names.size(); ++k)
                add_counter(errors, {{"upstream", names[u]}, {"kind", upstream_error_names[k]}},
                            [&](worker_block const& w) -> counter const& {
                                return w.upstreams[u].errors[static_cast<upstream_error>(k)];
                            });
    }

    /// What the workers of a process have each seen of a circuit, most of it the same: of the states, that which stops
    /// most; of the transitions, as many as whoever saw most of them.
    circuit::state worst_state(std::size_t c) const noexcept {
        // From what stops nothing to what stops all.
        constexpr std::array order{circuit::state::closed,    circuit::state::disabled, circuit::state::metrics_only,
                                   circuit::state::half_open, circuit::state::open,     circuit::state::forced_open};
        auto worst = order.begin();
        for (std::size_t i = 0; i < counters_->workers(); ++i) {
            auto const now = static_cast<circuit::state>(counters_->worker(i).circuits[c].state.value());
            worst = std::max(worst, std::find(order.begin(), order.end(), now));
        }
        return *worst;
    }

    void add_transitions(family& to, std::string_view name, std::size_t c) const {
        for (std::size_t a = 0; a < circuit::state_count; ++a)
            for (std::size_t b = 0; b < circuit::state_count; ++b) {
                std::uint64_t most = 0;
                for (std::size_t i = 0; i < counters_->workers(); ++i)
                    most = std::max(most, counters_->worker(i).circuits[c].transitions[a][b].value());
                if (most > 0)
                    add(to, {{"circuit", name},
                             {"from", to_string(static_cast<circuit::state>(a))},
                             {"to", to_string(static_cast<circuit::state>(b))}})
                        .counter.value = static_cast<double>(most);
            }
    }

    void add_circuits(std::vector<family>& out) const {
        auto const& names = counters_->labels().circuits;
        if (names.empty())
            return;
        auto& states = start(out, "weir_circuit_state", "1 for the state a circuit is in, 0 for the others.",
                             prometheus::MetricType::Gauge);
        for (std::size_t c = 0; c < names.size(); ++c)
            for (std::size_t s = 0; s < circuit::state_count; ++s)
                add(states, {{"circuit", names[c]}, {"state", to_string(static_cast<circuit::state>(s))}}).gauge.value =
                    static_cast<std::size_t>(worst_state(c)) == s ? 1 : 0;
        auto& transitions = start(out, "weir_circuit_transitions_total", "Changes of a circuit's state.",
                                  prometheus::MetricType::Counter);
        for (std::size_t c = 0; c < names.size(); ++c)
            add_transitions(transitions, names[c], c);
        auto& refused = start(out, "weir_circuit_refused_total", "Requests that a circuit refused.",
                              prometheus::MetricType::Counter);
        for (std::size_t c = 0; c < names.size(); ++c)
            add_counter(refused, {{"circuit", names[c]}},
                        [&](worker_block const& w) -> counter const& { return w.circuits[c].refused; });
        add_histogram(start(out, "weir_circuit_push_delay_seconds",
                            "From the publication of a circuit's change to its arrival here.",
                            prometheus::MetricType::Histogram),
                      {}, [](worker_block const& w) -> histogram const& { return w.circuit_push_delay; });
    }

    void add_locks(std::vector<family>& out) const {
        if (counters_->labels().locks.empty())
            return;
        add_by_lock(out, "weir_lock_wait_seconds", "From the asking for a lock to its grant, or to the end of waiting.",
                    &lock_block::wait);
        add_by_lock(out, "weir_lock_hold_seconds", "From the grant of a lock until it was given back, or lost.",
                    &lock_block::hold);
        add_by_lock(out, "weir_lock_handoff_seconds",
                    "From one holder's giving a lock back to its grant to one who waited.", &lock_block::handoff);
        add_by_lock(out, "weir_lock_lost_total", "Locks lost before their holder was done.", &lock_block::lost);
        add_by_lock(out, "weir_lock_refused_total", "Requests sent away because the lock was taken.",
                    &lock_block::refused);
    }

    template <class Value>
    void add_by_lock(std::vector<family>& out, char const* name, char const* help, Value lock_block::*which) const {
        auto const& names = counters_->labels().locks;
        constexpr bool counts = std::is_same_v<Value, counter>;
        auto& made =
            start(out, name, help, counts ? prometheus::MetricType::Counter : prometheus::MetricType::Histogram);
        for (std::size_t l = 0; l < names.size(); ++l) {
            auto const pick = [&](worker_block const& w) -> Value const& { return w.locks[l].*which; };
            if constexpr (counts)
                add_counter(made, {{"lock", names[l]}}, pick);
            else
                add_histogram(made, {{"lock", names[l]}}, pick);
        }
    }

    void add_decisions(std::vector<family>& out) const {
        auto const& names = counters_->labels().rules;
        if (names.empty())
            return;
        auto& made = start(out, "weir_ratelimit_decisions_total", "Decisions of limits, by rule and outcome.",
                           prometheus::MetricType::Counter);
        for (std::size_t r = 0; r < names.size(); ++r)
            for (std::size_t o = 0; o < outcome_count; ++o)
                add_counter(made, {{"rule", names[r]}, {"outcome", to_string(static_cast<outcome>(o))}},
                            [&](worker_block const& w) -> counter const& {
                                return w.rules[r].decisions[static_cast<outcome>(o)];
                            });
        auto& cost =
            start(out, "weir_ratelimit_cost_total",
                  "Units reserved, settled and given back for requests whose cost is known afterwards, by rule.",
                  prometheus::MetricType::Counter);
        for (std::size_t r = 0; r < names.size(); ++r)
            for (std::size_t k = 0; k < cost_kind_names.size(); ++k)
                add_counter(cost, {{"rule", names[r]}, {"kind", cost_kind_names[k]}},
                            [&](worker_block const& w) -> counter const& {
                                return w.rules[r].cost[static_cast<cost_kind>(k)];
                            });
    }

    void add_redis(std::vector<family>& out) const {
        using prometheus::MetricType;
        auto const& names = counters_->labels().scripts;
        auto& commands = start(out, "weir_redis_commands_total",
                               "Commands that Redis answered, by script; `other` is no script.", MetricType::Counter);
        for (std::size_t s = 0; s <= names.size(); ++s)
            add_counter(commands, {{"script", name_of(names, s)}},
                        [&](worker_block const& w) -> counter const& { return w.redis.scripts[s].commands; });
        auto& duration = start(out, "weir_redis_duration_seconds", "From the submission of a command to its reply.",
                               MetricType::Histogram);
        for (std::size_t s = 0; s <= names.size(); ++s)
            add_histogram(duration, {{"script", name_of(names, s)}},
                          [&](worker_block const& w) -> histogram const& { return w.redis.scripts[s].duration; });
        auto& errors = start(out, "weir_redis_errors_total", "Commands that failed, by kind.", MetricType::Counter);
        for (int code = 1; code < errc_count; ++code)
            add_counter(
                errors, {{"kind", to_string(static_cast<errc>(code))}},
                [&](worker_block const& w) -> counter const& { return w.redis.errors[static_cast<errc>(code)]; });
        add_gauge(start(out, "weir_redis_in_flight", "Commands without an answer yet.", MetricType::Gauge), {},
                  [](worker_block const& w) -> gauge const& { return w.redis.in_flight; });
        add_counter(start(out, "weir_redis_reconnects_total", "Connections to Redis made again.", MetricType::Counter),
                    {}, [](worker_block const& w) -> counter const& { return w.redis.reconnects; });
        add(start(out, "weir_redis_up", "Whether every worker is connected to Redis.", MetricType::Gauge), {})
            .gauge.value = redis_up(*counters_) ? 1 : 0;
    }

    std::shared_ptr<counters const> counters_;
};

} // namespace detail

/// Gives the counters of a registry to prometheus-cpp: the blocks of all workers added up at each scrape.
///
/// Thread safety: safe; workers go on counting meanwhile.
class collector final : public prometheus::Collectable {
public:
    explicit collector(std::shared_ptr<registry const> all)
        : all_(std::move(all)) {}

    std::vector<prometheus::MetricFamily> Collect() const override { return detail::scrape(all_->now()).collect(); }

private:
    std::shared_ptr<registry const> all_;
};

} // namespace weir::metrics
