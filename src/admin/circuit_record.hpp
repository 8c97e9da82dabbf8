#pragma once

#include <weir/redis/reply.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// A circuit as Redis keeps it, for people: what the command line and the admin API say of it.
namespace weir::admin {

using circuit_fields = std::map<std::string, std::string, std::less<>>;

/// The value of a field: as a number, 0 where it is absent or none; as a text, empty where it is absent.
std::int64_t number_of(circuit_fields const& of, std::string_view name);
std::string text_of(circuit_fields const& of, std::string_view name);

/// The fields of the answer to HGETALL.
circuit_fields read_circuit_hash(redis::flat_reply const& reply);

/// The changes in the answer to XREVRANGE, with the entry's id as "id".
std::vector<circuit_fields> read_circuit_history(redis::flat_reply const& reply);

/// Why it tripped, or null.
nlohmann::ordered_json tripped_json(circuit_fields const& of);

/// All of it; `now` is the server's time in microseconds. Without fields, Redis knows nothing of it: it is closed.
nlohmann::ordered_json circuit_json(std::string const& name, circuit_fields const& of, std::int64_t now);

} // namespace weir::admin
