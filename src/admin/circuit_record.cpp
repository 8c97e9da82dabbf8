#include "admin/circuit_record.hpp"

#include <algorithm>
#include <cstdlib>

namespace weir::admin {
namespace {

/// Names and values in turn.
circuit_fields pairs_of(redis::flat_reply const& reply, std::size_t from, std::size_t count) {
    circuit_fields result;
    auto const& nodes = reply.nodes();
    for (std::size_t i = from; i + 1 < from + count && i + 1 < nodes.size(); i += 2)
        result.emplace(reply.text(nodes[i]), reply.text(nodes[i + 1]));
    return result;
}

} // namespace

std::int64_t number_of(circuit_fields const& of, std::string_view name) {
    auto const found = of.find(name);
    return found == of.end() ? 0 : std::strtoll(found->second.c_str(), nullptr, 10);
}

std::string text_of(circuit_fields const& of, std::string_view name) {
    auto const found = of.find(name);
    return found == of.end() ? std::string() : found->second;
}

circuit_fields read_circuit_hash(redis::flat_reply const& reply) {
    return reply.nodes().empty() ? circuit_fields{} : pairs_of(reply, 1, reply.nodes().size() - 1);
}

std::vector<circuit_fields> read_circuit_history(redis::flat_reply const& reply) {
    std::vector<circuit_fields> result;
    auto const& nodes = reply.nodes();
    for (std::size_t i = 1; i + 2 < nodes.size();) { // each: an array of its id and an array of fields
        auto const count = static_cast<std::size_t>(nodes[i + 2].value);
        result.push_back(pairs_of(reply, i + 3, count));
        result.back().emplace("id", reply.text(nodes[i + 1]));
        i += 3 + count;
    }
    return result;
}

nlohmann::ordered_json tripped_json(circuit_fields const& of) {
    auto const parsed = nlohmann::ordered_json::parse(text_of(of, "tripped"), nullptr, false);
    return parsed.is_object() ? parsed : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json circuit_json(std::string const& name, circuit_fields const& of, std::int64_t now) {
    nlohmann::ordered_json result{{"name", name}, {"state", of.empty() ? "closed" : text_of(of, "state")}};
    if (of.empty())
        return result;
    result["epoch"] = number_of(of, "epoch");
    result["for_ms"] = (now - number_of(of, "since")) / 1000;
    if (auto const until = number_of(of, "until"); until > 0)
        result["remaining_ms"] = std::max<std::int64_t>(until - now, 0) / 1000;
    for (auto const* each : {"calls", "failures", "slow", "voters", "votes"})
        result[each] = number_of(of, each);
    for (auto const* each : {"who", "note"})
        if (auto value = text_of(of, each); !value.empty())
            result[each] = std::move(value);
    result["tripped"] = tripped_json(of);
    return result;
}

} // namespace weir::admin
