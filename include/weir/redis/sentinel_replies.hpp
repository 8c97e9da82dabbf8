#pragma once

#include <weir/redis/reply.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What the sentinels say of a group and of each other, without I/O.

namespace weir::redis {

/// Reads the reply of SENTINEL GET-MASTER-ADDR-BY-NAME; none where it is no such reply, or the name is not known.
WEIR_DECL std::optional<std::pair<std::string, std::uint16_t>> read_master_address(flat_reply const& reply);

/// Reads the reply of SENTINEL SENTINELS: the places of the others, as far as they are told.
WEIR_DECL std::vector<std::pair<std::string, std::uint16_t>> read_sentinels(flat_reply const& reply);

/// Whether the payload of `+switch-master` ("NAME OLD-HOST OLD-PORT NEW-HOST NEW-PORT") is about this group.
WEIR_DECL bool is_switch_of(std::string_view payload, std::string_view master_name);

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/sentinel_replies.ipp>
#endif
