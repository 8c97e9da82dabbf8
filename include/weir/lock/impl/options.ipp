#pragma once

#include <weir/lock/options.hpp>

#include <stdexcept>

namespace weir::lock {

WEIR_DECL void validate(std::string_view name, lock_options const& how, portion what) {
    using std::chrono::milliseconds;
    auto const refuse = [&](std::string const& words) {
        throw std::invalid_argument("lock " + std::string(name) + ": " + words);
    };
    if (name.empty())
        throw std::invalid_argument("a lock must have a name");
    if (how.ttl < milliseconds{10} || how.ttl > std::chrono::hours{24})
        refuse("ttl must be 10 ms to 24 h, not " + std::to_string(how.ttl.count()) + " ms");
    if (how.wait < milliseconds{0})
        refuse("wait must not be negative");
    if (how.heartbeat < milliseconds{40} || how.heartbeat > std::chrono::minutes{10})
        refuse("heartbeat must be 40 ms to 10 min, not " + std::to_string(how.heartbeat.count()) + " ms");
    if (how.loss_margin < milliseconds{0} || how.loss_margin >= how.ttl / 2)
        refuse("loss_margin must be below a half of the ttl");
    if (how.durable == durability::majority && (how.replicas < 1 || how.replicas > 100))
        refuse("a majority needs to know how many replicas there are, 1 to 100");
    if (what.limit < 1 || what.limit > max_limit)
        refuse("limit must be 1 to " + std::to_string(max_limit) + ", not " + std::to_string(what.limit));
    if (what.weight < 1 || what.weight > what.limit)
        refuse("weight must be 1 to the limit, not " + std::to_string(what.weight));
}

} // namespace weir::lock
