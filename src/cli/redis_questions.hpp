#pragma once

#include "cli/redis_session.hpp"

#include <weir/key.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What several commands ask of a Redis, and how they speak of what it says.
namespace weir::cli {

/// One command; an error is thrown with its remedy.
void ask(redis_session& session, redis::command const& what, redis::reply_sink& into);

key_layout layout_of(redis_session const& session);

/// The clock of the server where `key` is, in microseconds.
std::int64_t server_time(redis_session& session, std::string_view key);

/// All keys of a type ("hash", "zset") that begin so, in order; of a cluster those of all its masters.
std::vector<std::string> find_keys(redis_session& session, std::string const& begin, std::string const& type);

/// A duration for people, in whole seconds; 0 where it is negative.
std::string seconds_text(std::int64_t microseconds);

/// USER@HOST.
std::string default_who();

} // namespace weir::cli
