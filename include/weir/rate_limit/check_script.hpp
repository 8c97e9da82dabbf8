#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/decision.hpp>
#include <weir/redis/command.hpp>
#include <weir/redis/reply.hpp>
#include <weir/redis/script.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// lua/rate_check.lua, rate_refund.lua and rate_reset.lua, loaded by every client that is given `rate_limit_scripts()`.
/// They live as long as the program.
WEIR_DECL redis::script const& rate_check_script();
WEIR_DECL redis::script const& rate_refund_script();
WEIR_DECL redis::script const& rate_reset_script();
WEIR_DECL std::vector<redis::script const*> rate_limit_scripts();

/// The four bytes under which a rule's counts are kept in the state of a key: a hash of its name. Two rules that may
/// meet in one key need different ones; `check_request::assign` refuses a request in which they have not.
WEIR_DECL std::uint32_t rule_id(rule const& r) noexcept;

/// The reply of rate_check.lua: an integer, or up to three a rule, one, and one for a receipt.
using check_reply = redis::int_sink<2 + 3 * max_rules_per_check>;

/// One request to lua/rate_check.lua: checked, with its keys spelled, ready to be encoded. Reusable without allocation.
///
/// Distinct objects: safe; shared objects: unsafe.
class check_request {
public:
    struct item {
        weir::rule const* rule;
        /// Index of the key of this rule.
        std::size_t key;
        std::uint64_t cost;
    };

    /// Takes over the charges; they and their texts may go away afterwards, the rules may not.
    /// Returns `errc::invalid_argument` where there are no charges or more than `max_rules_per_check`, a rule is null
    /// or out of range, a cost is above `max_cost`, or two charges mean the same rule of the same key.
    WEIR_DECL error_code assign(std::span<charge const> charges, std::string_view key_prefix, key_layout layout);

    std::span<item const> items() const noexcept { return {items_.data(), count_}; }
    std::size_t key_count() const noexcept { return keys_; }
    WEIR_DECL std::string_view key(std::size_t index) const noexcept;

    /// Writes the EVALSHA of `code`, which is lua/rate_check.lua or, in tests, the same with a clock of their own.
    WEIR_DECL void encode(redis::command& out, redis::script const& code = rate_check_script()) const;

    /// The slots of its keys, each once, in the order of the keys; what a Redis Cluster decides apart.
    WEIR_DECL std::vector<std::uint16_t> slots() const;
    /// As `encode`, of the rules whose key lies in `slot` alone, and with a receipt.
    WEIR_DECL void encode_slot(redis::command& out, std::uint16_t slot,
                               redis::script const& code = rate_check_script()) const;
    /// Reads the reply to that into the rules of `out` that were asked there; `receipt` is the time of the charge, or
    /// 0 where nothing was charged.
    WEIR_DECL error_code decode_slot(check_reply const& reply, std::uint16_t slot, decision& out,
                                     std::int64_t& receipt) const;
    /// Writes the EVALSHA of lua/rate_refund.lua that takes back what was charged in `slot` at the time of `receipt`.
    WEIR_DECL void encode_refund(redis::command& out, std::uint16_t slot, std::int64_t receipt) const;

    /// Reads the reply into `out.rules` and the rest of the decision; `errc::unexpected_reply` where it cannot be one.
    WEIR_DECL error_code decode(check_reply const& reply, decision& out) const;

private:
    WEIR_DECL std::size_t pack(char* to, std::optional<std::uint16_t> slot) const;
    WEIR_DECL std::uint16_t slot_of(std::size_t index) const noexcept;
    WEIR_DECL error_code read_rule(std::int64_t remaining, std::int64_t retry, std::int64_t reset, std::size_t index,
                                   rule_decision& to) const;
    WEIR_DECL std::size_t add_key(std::string_view prefix, charge const& c, key_layout layout);
    WEIR_DECL bool valid(charge const& c) const noexcept;
    WEIR_DECL bool repeats(std::size_t index) const noexcept;

    std::array<item, max_rules_per_check> items_;
    std::array<std::size_t, max_rules_per_check> key_ends_;
    std::size_t count_ = 0;
    std::size_t keys_ = 0;
    std::string text_;
};

/// Fills `binding`, `allowed` and `retry_after` of a decision from what its rules say.
WEIR_DECL void conclude(decision& d) noexcept;

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/check_script.ipp>
#endif
