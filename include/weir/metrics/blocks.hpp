#pragma once

#include <weir/circuit/state.hpp>
#include <weir/error.hpp>
#include <weir/metrics/counter.hpp>
#include <weir/rate_limit/decision.hpp>

#include <memory>
#include <mutex>
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
    /// No agreement on TLS, or a certificate that is not believed.
    tls,
    /// One attempt took too long to be answered, or all of them together.
    per_try_timeout,
    total_timeout,
};
inline constexpr std::array<std::string_view, 11> upstream_error_names{
    "resolve",      "connect", "connect_timeout", "first_byte_timeout", "idle_timeout", "closed_early", "cut_short",
    "bad_response", "tls",     "per_try_timeout", "total_timeout"};

/// `weir_stream_outcomes_total{outcome}`: how responses without a known length ended, server-sent events above all.
enum class stream_outcome : std::uint8_t {
    /// To the last chunk.
    complete,
    /// The client left before the end.
    client_gone,
    /// The upstream broke off.
    cut_short,
    /// The upstream said nothing for too long.
    idle_timeout,
};
inline constexpr std::array<std::string_view, 4> stream_outcome_names{"complete", "client_gone", "cut_short",
                                                                      "idle_timeout"};

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
    counter_by<stream_outcome, stream_outcome_names.size()> streams;
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

struct lock_block {
    /// From the asking for it to its grant, or to the end of waiting.
    histogram wait;
    /// From its grant until it was given back, or lost.
    histogram hold;
    /// From the moment when the one before gave it back to its grant, by the clock of the server.
    histogram handoff;
    counter lost;
    /// Of those who asked, sent away because it was taken.
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
    std::vector<std::string> locks{};
};

/// One block a name, found by its number. Those of names that another list has are that one's, so that a counter goes
/// on where the configuration has changed.
template <class Block>
class block_list {
public:
    /// One for each name, and `more` without.
    explicit block_list(std::vector<std::string> const& names, std::size_t more = 0) {
        for (std::size_t i = 0; i < names.size() + more; ++i)
            blocks_.push_back(std::make_shared<Block>());
    }
    block_list(std::vector<std::string> const& names, std::vector<std::string> const& old_names, block_list const& old)
        : block_list(names, old.size() - old_names.size()) {
        for (std::size_t i = 0; i < names.size(); ++i)
            for (std::size_t j = 0; j < old_names.size(); ++j)
                if (names[i] == old_names[j])
                    blocks_[i] = old.blocks_[j];
        for (std::size_t i = 0; i < size() - names.size(); ++i)
            blocks_[names.size() + i] = old.blocks_[old_names.size() + i];
    }

    Block& operator[](std::size_t i) noexcept { return *blocks_[i]; }
    Block const& operator[](std::size_t i) const noexcept { return *blocks_[i]; }
    Block& at(std::size_t i) { return *blocks_.at(i); }
    Block const& at(std::size_t i) const { return *blocks_.at(i); }
    std::size_t size() const noexcept { return blocks_.size(); }

private:
    std::vector<std::shared_ptr<Block>> blocks_;
};

/// What of the counters of a worker has nothing to do with its configuration.
struct lifelong_block {
    redis_block redis;
    gauge requests_in_flight;
    histogram admission;
    histogram circuit_push_delay;
};

/// The counters of one worker under one configuration. Thread safety: one writer, any readers.
struct worker_block {
    explicit worker_block(names const& n)
        : routes(n.routes, 1)
        , rules(n.rules)
        , upstreams(n.upstreams)
        , circuits(n.circuits)
        , locks(n.locks)
        , life(std::make_shared<lifelong_block>()) {
        redis.scripts = std::vector<script_block>(n.scripts.size() + 1);
    }
    /// Goes on with what another counted under the same names.
    worker_block(names const& n, names const& old_names, worker_block const& old)
        : routes(n.routes, old_names.routes, old.routes)
        , rules(n.rules, old_names.rules, old.rules)
        , upstreams(n.upstreams, old_names.upstreams, old.upstreams)
        , circuits(n.circuits, old_names.circuits, old.circuits)
        , locks(n.locks, old_names.locks, old.locks)
        , life(old.life) {}
    worker_block(worker_block const&) = delete;
    worker_block& operator=(worker_block const&) = delete;

    /// By the number of the route; the last one counts requests that match no route or are refused before that.
    block_list<route_block> routes;
    block_list<rule_block> rules;
    block_list<upstream_block> upstreams;
    block_list<circuit_block> circuits;
    block_list<lock_block> locks;
    std::shared_ptr<lifelong_block> const life;
    redis_block& redis = life->redis;
    /// Requests whose answer is not complete.
    gauge& requests_in_flight = life->requests_in_flight;
    /// What is added before the upstream: from the head of the request to the decision.
    histogram& admission = life->admission;
    /// From the publication of a circuit's change to its arrival here.
    histogram& circuit_push_delay = life->circuit_push_delay;
};

/// The counters of all workers under one configuration. Thread safety: each worker writes its own block; reading is
/// safe from any thread.
class counters {
public:
    counters(names n, std::size_t workers)
        : names_(std::move(n)) {
        for (std::size_t i = 0; i < workers; ++i)
            workers_.push_back(std::make_unique<worker_block>(names_));
    }
    counters(names n, counters const& before)
        : names_(std::move(n)) {
        for (auto const& each : before.workers_)
            workers_.push_back(std::make_unique<worker_block>(names_, before.names_, *each));
    }

    worker_block& worker(std::size_t i) noexcept { return *workers_[i]; }
    worker_block const& worker(std::size_t i) const noexcept { return *workers_[i]; }
    std::size_t workers() const noexcept { return workers_.size(); }
    names const& labels() const noexcept { return names_; }

private:
    names names_;
    std::vector<std::unique_ptr<worker_block>> workers_;
};

/// The counters of a program, which go on through changes of its configuration. Thread safety: safe.
class registry {
public:
    registry(names n, std::size_t workers)
        : now_(std::make_shared<counters>(std::move(n), workers)) {}

    /// Those of the configuration in effect.
    std::shared_ptr<counters> now() const {
        std::lock_guard const lock(mutex_);
        return now_;
    }
    /// Another configuration takes effect. What was counted under names that it does not have is gone with
    /// the last who holds the counters before.
    std::shared_ptr<counters> change(names n) {
        std::lock_guard const lock(mutex_);
        now_ = std::make_shared<counters>(std::move(n), *now_);
        return now_;
    }

    /// Of those in effect; the references are good until the next change.
    worker_block& worker(std::size_t i) noexcept { return now()->worker(i); }
    worker_block const& worker(std::size_t i) const noexcept { return now()->worker(i); }
    std::size_t workers() const noexcept { return now()->workers(); }
    names const& labels() const noexcept { return now()->labels(); }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<counters> now_;
};

} // namespace weir::metrics
