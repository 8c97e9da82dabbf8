#include "proxy/circuits.hpp"

#include <algorithm>

namespace weir::proxy {
namespace {

circuit::registry_options registry_options_of(std::string key_prefix, metrics::histogram& push_delay) {
    circuit::registry_options how;
    how.key_prefix = std::move(key_prefix);
    how.on_push = [&push_delay](std::string_view, std::chrono::microseconds delay) { push_delay.observe(delay); };
    return how;
}

/// Whether it is only what the circuits of targets are like.
bool is_of_targets_alone(config::config const& config, std::size_t circuit) {
    auto const& all = config.upstreams;
    return std::any_of(all.begin(), all.end(),
                       [&](config::upstream const& u) { return u.target_circuit == circuit; }) &&
           std::none_of(all.begin(), all.end(), [&](config::upstream const& u) { return u.circuit == circuit; });
}

} // namespace

circuit_plan::circuit_plan(config::config const& config) {
    for (auto const& upstream : config.upstreams) {
        auto& whole = of_upstream.emplace_back();
        if (upstream.circuit)
            whole = add(config.circuits[*upstream.circuit].name, config.circuits[*upstream.circuit].how);
        auto& each = of_targets.emplace_back();
        if (!upstream.target_circuit)
            continue;
        auto const& what = config.circuits[*upstream.target_circuit];
        for (auto const& target : upstream.targets)
            each.push_back(add(what.name + '@' + target.text, what.how));
    }
    for (std::size_t i = 0; i < config.circuits.size() && config.decision; ++i)
        if (!is_of_targets_alone(config, i))
            add(config.circuits[i].name, config.circuits[i].how);
}

std::optional<std::size_t> circuit_plan::find(std::string_view name) const noexcept {
    auto const found = std::find_if(all.begin(), all.end(), [&](entry const& e) { return e.name == name; });
    return found == all.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - all.begin()));
}

std::size_t circuit_plan::add(std::string name, circuit::settings const& how) {
    if (auto const known = find(name))
        return *known;
    all.push_back({std::move(name), how});
    return all.size() - 1;
}

circuits::circuits(redis::client& redis, redis::subscriber& news, std::string key_prefix, metrics::worker_block& counts,
                   log_function const& log, bool tells)
    : log_(log)
    , tells_(tells)
    , registry_(redis, news, registry_options_of(std::move(key_prefix), counts.circuit_push_delay))
    , listening_(registry_.on_change(
          [this](circuit::breaker const& which, circuit::change const& what) { heard(which, what); })) {}

void circuits::change(circuit_plan const& to, metrics::worker_block& counts) {
    counts_.clear();
    for (auto const& known : registry_.all()) {
        auto const same = std::find_if(to.all.begin(), to.all.end(), [&](circuit_plan::entry const& e) {
            return e.name == known.name() && e.how == known.how();
        });
        if (same == to.all.end())
            registry_.forget(known.name());
    }
    for (std::size_t i = 0; i < to.all.size(); ++i) {
        auto const made = registry_.get(to.all[i].name, to.all[i].how);
        counts.circuits[i].state.set(static_cast<std::int64_t>(made.now()));
        counts_[to.all[i].name] = &counts.circuits[i];
    }
}

guard circuits::get(circuit_plan const& plan, std::size_t index, metrics::worker_block& counts) {
    return {registry_.get(plan.all[index].name, plan.all[index].how), counts.circuits[index]};
}

void circuits::heard(circuit::breaker const& which, circuit::change const& what) {
    auto const known = counts_.find(which.name());
    if (known == counts_.end() || what.from == what.to)
        return;
    known->second->state.set(static_cast<std::int64_t>(what.to));
    known->second->transitions[static_cast<std::size_t>(what.from)][static_cast<std::size_t>(what.to)].increment();
    if (what.fleet && !tells_)
        return;
    bool const trouble = what.to == circuit::state::open || what.to == circuit::state::forced_open;
    log_(trouble ? log_level::warning : log_level::info,
         "circuit " + which.name() + ": " + std::string(to_string(what.from)) + " -> " +
             std::string(to_string(what.to)) + ", " + std::string(to_string(what.why)) +
             (what.fleet ? "" : " (seen here alone so far)"));
}

} // namespace weir::proxy
