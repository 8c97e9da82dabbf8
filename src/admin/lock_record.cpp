#include "admin/lock_record.hpp"

#include <algorithm>
#include <cstdlib>

namespace weir::admin {
namespace {

using nlohmann::ordered_json;

template <class Read>
std::vector<lock_party> read_parties(redis::flat_reply const& reply, Read const& read) {
    std::vector<lock_party> result;
    auto const& nodes = reply.nodes();
    for (std::size_t i = 1; i + 1 < nodes.size(); i += 2) {
        auto const member = read(reply.text(nodes[i]));
        auto const score = std::strtoll(std::string(reply.text(nodes[i + 1])).c_str(), nullptr, 10);
        if (member)
            result.push_back({*member, score});
    }
    return result;
}

} // namespace

lock_keys::lock_keys(std::string_view prefix, key_layout layout) {
    append_lock_key(begin_, prefix, key_part(), layout);
    if (layout == key_layout::cluster) {
        end_ = begin_.back(); // of the empty name in braces
        begin_.pop_back();
    }
}

std::string_view lock_keys::name_in(std::string_view key) const noexcept {
    key.remove_prefix(begin_.size());
    if (key.ends_with("#gone"))
        return {};
    auto const end = end_.empty() ? key.find('#') : key.find(end_);
    // The queue is there alone where none holds the lock, but some wait for it.
    return key.substr(0, end);
}

std::vector<lock_party> read_lock_holders(redis::flat_reply const& reply, std::int64_t now) {
    auto holders = read_parties(reply, lock::read_holder);
    std::erase_if(holders, [&](auto const& each) { return each.at <= now; });
    return holders;
}

std::vector<lock_party> read_lock_waiters(redis::flat_reply const& reply) {
    return read_parties(reply, lock::read_waiter);
}

ordered_json lock_json(std::string const& name, lock_record const& of, std::int64_t now) {
    ordered_json result{{"name", name}, {"holders", ordered_json::array()}, {"waiters", ordered_json::array()}};
    for (auto const& each : of.holders) {
        ordered_json one{{"who", each.who.who}, {"fence", each.who.fence}, {"expires_in_ms", (each.at - now) / 1000}};
        if (each.who.weight > 1)
            one["weight"] = each.who.weight;
        result["holders"].push_back(std::move(one));
    }
    for (auto const& each : of.waiters)
        result["waiters"].push_back(
            {{"who", each.who.who}, {"waits_ms", std::max<std::int64_t>(now - each.at, 0) / 1000}});
    return result;
}

} // namespace weir::admin
