#pragma once

#include <weir/circuit/state.hpp>
#include <weir/error.hpp>
#include <weir/metrics/counter.hpp>
#include <weir/rate_limit/decision.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The counters of a program, one block a worker. A block is found by a number that was settled when the configuration
/// was loaded (the index of a route, rule, upstream or script): no name is looked up on the way of a request.
namespace weir::metrics {

/// `weir_requests_total{code_class}`.
enum class code_class : std::uint8_t { informational, success, redirection, client_error, server_error };
inline constexpr std::array<std::string_view, 5> code_class_names{"1xx", "2xx", "3xx", "4xx", "5xx"};

/// The class of a status from 100 to 599; anything else counts as a server's error.
constexpr code_class class_of(unsigned status) noexcept {
    return status >= 100 && status < 600 ? static_cast<code_class>(status / 100 - 1) : code_class::server_error;
}

/// `weir_upstream_errors_total{kind}`.
enum class upstream_error : std::uint8_t {
    resolve,
    connect,
    connect_timeout,
    first_byte_timeout,
    idle_timeout,
    /// Reset or closed before the head of the answer.
    closed_early,
    /// Reset or closed in the middle of a body.
    cut_short,
    /// The answer is not valid HTTP/1.1.
    bad_response,
};
inline constexpr std::array<std::string_view, 8> upstream_error_names{
    "resolve",      "connect",      "connect_timeout", "first_byte_timeout",
    "idle_timeout", "closed_early", "cut_short",       "bad_response"};

/// `weir_ratelimit_cost_total{kind}`: units of requests whose cost is known only afterwards.
enum class cost_kind : std::uint8_t {
    /// Charged when the request was admitted, or extended.
    reserved,
    /// Used, as settled.
    settled,
    /// Of those reserved, not used and given back.
    refunded,
};
inline constexpr std::array<std::string_view, 3> cost_kind_names{"reserved", "settled", "refunded"};

/// One counter for each value of an enumeration that counts up from 0 or 1.
template <class Enum, std::size_t Size>
class counter_by {
public:
    counter& operator[](Enum which) noexcept { return counters_[static_cast<std::size_t>(which)]; }
    counter const& operator[](Enum which) const noexcept { return counters_[static_cast<std::size_t>(which)]; }

    static constexpr std::size_t size() noexcept { return Size; }

private:
    std::array<counter, Size> counters_;
};

struct route_block {
    counter_by<code_class, code_class_names.size()> requests;
    /// From the first byte of the request to the last of the answer.
    histogram duration;
    /// From the first byte of the request to the first of the answer.
    histogram time_to_first_byte;
};

struct upstream_block {
    /// Targets that the health check has found ill; kept by one worker for all.
    gauge ill;
    /// Targets taken out for failing.
    counter ejections;
    /// From the request sent to the last byte of the answer received.
    histogram duration;
    counter_by<upstream_error, upstream_error_names.size()> errors;
};

struct rule_block {
    counter_by<outcome, outcome_count> decisions;
    counter_by<cost_kind, cost_kind_names.size()> cost;
};

struct circuit_block {
    /// The number of the `circuit::state` it is in here.
    gauge state;
    /// From one state to another.
    std::array<std::array<counter, circuit::state_count>, circuit::state_count> transitions;
    /// Calls refused.
    counter refused;
};

struct script_block {
    counter commands;
    histogram duration;
};

struct redis_block {
    /// By the number of the script; the last one counts every other command.
    std::vector<script_block> scripts;
    counter_by<errc, errc_count> errors;
    /// Commands queued or sent that have no answer yet.
    gauge in_flight;
    /// Connections made after the first.
    counter reconnects;
    /// 1 while connected, else 0.
    gauge up;
};

/// What the labels say; the order gives the numbers by which blocks are found.
struct names {
    std::vector<std::string> routes;
    std::vector<std::string> rules;
    std::vector<std::string> upstreams;
    std::vector<std::string> circuits;
    std::vector<std::string> scripts;
};

/// The counters of one worker. Thread safety: one writer, any readers.
struct worker_block {
    /// The vectors keep their size and place for life.
    explicit worker_block(names const& n)
        : routes(n.routes.size() + 1)
        , rules(n.rules.size())
        , upstreams(n.upstreams.size())
        , circuits(n.circuits.size()) {
        redis.scripts = std::vector<script_block>(n.scripts.size() + 1);
    }

    /// By the number of the route; the last one counts requests that match no route or are refused before that.
    std::vector<route_block> routes;
    std::vector<rule_block> rules;
    std::vector<upstream_block> upstreams;
    std::vector<circuit_block> circuits;
    /// From the publication of a circuit's change to its arrival here.
    histogram circuit_push_delay;
    redis_block redis;
    /// Requests whose answer is not complete.
    gauge requests_in_flight;
    /// What is added before the upstream: from the head of the request to the decision.
    histogram admission;
};

/// The counters of all workers, for the life of the program. Thread safety: each worker writes its own block; reading
/// is safe from any thread.
class registry {
public:
    registry(names n, std::size_t workers)
        : names_(std::move(n)) {
        for (std::size_t i = 0; i < workers; ++i)
            workers_.push_back(std::make_unique<worker_block>(names_));
    }

    worker_block& worker(std::size_t i) noexcept { return *workers_[i]; }
    worker_block const& worker(std::size_t i) const noexcept { return *workers_[i]; }
    std::size_t workers() const noexcept { return workers_.size(); }
    names const& labels() const noexcept { return names_; }

private:
    names names_;
    std::vector<std::unique_ptr<worker_block>> workers_;
};

} // namespace weir::metrics
