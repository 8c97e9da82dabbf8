#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/charge.hpp>
#include <weir/rate_limit/decision.hpp>
#include <weir/redis/command.hpp>
#include <weir/redis/reply.hpp>
#include <weir/redis/script.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// lua/rate_check.lua, rate_refund.lua, rate_reset.lua and rate_instances.lua, loaded by every client that is given
/// `rate_limit_scripts()`. They live as long as the program.
WEIR_DECL redis::script const& rate_check_script();
WEIR_DECL redis::script const& rate_refund_script();
WEIR_DECL redis::script const& rate_reset_script();
/// lua/rate_instances.lua.
WEIR_DECL redis::script const& rate_instances_script();
/// lua/rate_wait.lua.
WEIR_DECL redis::script const& rate_wait_script();
WEIR_DECL std::vector<redis::script const*> rate_limit_scripts();

/// The four bytes under which a rule's counts are kept in the state of a key: a hash of its name. Two rules that may
/// meet in one key need different ones; `check_request::assign` refuses a request in which they have not.
WEIR_DECL std::uint32_t rule_id(rule const& r) noexcept;
/// The same for the count of its refusals.
WEIR_DECL std::uint32_t penalty_id(rule const& r) noexcept;

/// The reply of rate_check.lua or rate_wait.lua: an integer, or up to three a rule and a penalty, one, one for a
/// receipt, and one for a wait.
using check_reply = redis::int_sink<3 + 6 * max_rules_per_check>;

namespace detail {

/// The bytes of one rule in the argument of lua/rate_check.lua.
inline constexpr std::size_t packed_rule_size = 38;

/// A whole packed request: a rule and a penalty a charge.
using packed_request = std::array<char, 2 * max_rules_per_check * packed_rule_size>;

} // namespace detail

/// What lua/rate_check.lua is to do with a request.
enum class check_order : std::uint8_t {
    /// Decide, and charge if all rules admit.
    decide = 0,
    /// The same, once for a request id: where that has been admitted already, the answer is the same.
    once = 1,
    /// Charge more to what a request id has been admitted for, and keep it for longer.
    extend = 2,
    /// Charge what was used instead of what was reserved, and end it.
    settle = 3,
};

/// The cost of a charge that settles as it was reserved.
inline constexpr std::uint64_t as_reserved = (std::uint64_t{1} << 56) - 1;

/// One request to lua/rate_check.lua: checked, with its keys spelled, ready to be encoded. Reusable without allocation.
///
/// Distinct objects: safe; shared objects: unsafe.
class check_request {
public:
    struct item {
        weir::rule const* rule;
        rule_terms terms;
        /// Index of the key of this rule.
        std::size_t key;
        std::uint64_t cost;
        /// A list of the rule has decided: it is not asked.
        bool listed;
        bool allowed;
    };

    /// How it is asked.
    struct form {
        check_order order = check_order::decide;
        /// The rules whose key lies in this slot alone, and with a receipt: a Redis Cluster decides each slot apart.
        std::optional<std::uint16_t> slot{};
        /// How long the record of the request is kept, for any other order than `decide`.
        std::chrono::milliseconds record_ttl{0};
        /// With a receipt.
        bool receipt = false;
        /// In one call with other requests.
        bool shared = false;
    };

    /// How a place is asked for.
    struct wait_form {
        /// Of the rules whose key lies in this slot alone.
        std::optional<std::uint16_t> slot{};
        /// How long the record is kept from the moment of the place on, where the request has an id.
        std::chrono::milliseconds record_ttl{0};
        /// How far away the place is at most, and at least.
        std::chrono::microseconds longest{0}, earliest{0};
    };

    /// A place that was taken.
    struct place {
        /// Its receipt, in microseconds of the node's clock.
        std::int64_t moment = 0;
        /// How long it is until then.
        std::chrono::microseconds wait{0};
        /// Whether it is that of another caller with the same request id.
        bool shared = false;
    };

    /// Takes over the charges; they and their texts may go away afterwards, the rules may not.
    /// Returns `errc::invalid_argument` where there are no charges or more than `max_rules_per_check`, a rule is null
    /// or out of range, a cost is above `max_cost` (and not `as_reserved`), two charges mean the same rule of the same
    /// key, or a rule of `concurrency` is charged without a request id.
    WEIR_DECL error_code assign(std::span<charge const> charges, std::string_view key_prefix, key_layout layout,
                                std::string_view request_id = {});

    std::span<item const> items() const noexcept { return {items_.data(), count_}; }
    std::size_t key_count() const noexcept { return keys_; }
    WEIR_DECL std::string_view key(std::size_t index) const noexcept;
    bool has_request_id() const noexcept { return !record_part_.empty(); }
    /// Stands for the request id among the holders of `concurrency` rules.
    std::uint64_t holder() const noexcept { return holder_; }

    /// Whether units for it may be charged ahead: all its rules lease, are not on trial and punish nobody, and have the
    /// same cost, above 0.
    WEIR_DECL bool leasable() const noexcept;
    /// The cost of a leasable request, and for how long its units may be held.
    WEIR_DECL std::uint64_t units() const noexcept;
    WEIR_DECL std::chrono::microseconds lease() const noexcept;
    /// Sets the cost of all rules that are asked.
    WEIR_DECL void set_units(std::uint64_t cost) noexcept;

    /// Has it mean copies of its rules, without their lists and overrides, which have had their say: with these it may
    /// outlive the rules.
    WEIR_DECL std::vector<rule> own_rules();

    /// Whether lists alone decide it, so that nobody needs to be asked: all rules allow the user, or one denies him.
    WEIR_DECL bool decided_by_lists() const noexcept;
    /// Fills the decision in that case.
    WEIR_DECL void decide_by_lists(decision& out) const;

    /// Sets what holds whoever decides, and all that a list of the rule says.
    WEIR_DECL void fill(item const& one, rule_decision& to) const;

    /// How many rules and penalties the script is told of, and so how many say something in its reply.
    WEIR_DECL std::size_t packed_rules() const noexcept;
    /// Packs what the script is told of them; `numbers` are those of the keys in the call, from 1 on, 0: not there.
    WEIR_DECL std::size_t pack(char* to, std::span<std::uint8_t const> numbers) const;
    /// Whether both ask one rule alone, without a penalty, on the same terms and at the same cost, so that they are
    /// packed alike but for their keys.
    WEIR_DECL bool is_packed_like(check_request const& other) const noexcept;
    /// One rule that charges `cost` to the first key of its call, whether it has room or not.
    WEIR_DECL std::string pack_forced(std::size_t index, std::uint64_t cost) const;

    /// The slots of its keys, each once, in the order of the keys.
    WEIR_DECL std::vector<std::uint16_t> slots() const;

    /// Writes the EVALSHA of `code`, which is lua/rate_check.lua or, in tests, the same with a clock of their own.
    /// Precondition of other orders than `decide`: it has a request id.
    WEIR_DECL void encode(redis::command& out, form how, redis::script const& code = rate_check_script()) const;
    void encode(redis::command& out) const { encode(out, form{}); }

    /// Reads the reply to `decide` of all rules, or of those of a slot, to `once` or `extend`, into the rules of `out`
    /// that were asked. `errc::unexpected_reply` where it cannot be one; `unknown_request` and `already_settled`.
    /// `receipt`, where there is one, becomes the time of the charge, or 0 where nothing was charged.
    WEIR_DECL error_code decode(std::span<std::int64_t const> reply, form how, decision& out,
                                std::int64_t& receipt) const;
    error_code decode(check_reply const& reply, form how, decision& out, std::int64_t& receipt) const {
        return decode(reply.integers(), how, out, receipt);
    }
    error_code decode(check_reply const& reply, decision& out) const {
        std::int64_t receipt = 0;
        return decode(reply.integers(), form{}, out, receipt);
    }
    /// Reads the reply to `settle`; errors as above.
    WEIR_DECL error_code decode(check_reply const& reply, form how, settlement& out) const;

    /// Writes the EVALSHA of lua/rate_wait.lua, and reads its reply as `decode` does, of a slot those rules alone.
    /// Returns no place where it was refused.
    WEIR_DECL void encode_wait(redis::command& out, wait_form const& how,
                               redis::script const& code = rate_wait_script()) const;
    WEIR_DECL error_code decode_wait(check_reply const& reply, wait_form const& how, decision& out,
                                     std::optional<place>& taken) const;

    /// Writes the EVALSHA of lua/rate_refund.lua that takes back its costs: what was charged at the time of `receipt`,
    /// and with it its record, but not what another caller with its request id holds, too; or without a receipt the
    /// newest that count.
    WEIR_DECL void encode_refund(redis::command& out, std::optional<std::uint16_t> slot,
                                 std::optional<std::int64_t> receipt,
                                 redis::script const& code = rate_refund_script()) const;

private:
    WEIR_DECL void encode_keys(redis::command& out, redis::script const& code, std::optional<std::uint16_t> slot,
                               bool record, std::size_t arguments) const;
    WEIR_DECL std::size_t pack(char* to, std::optional<std::uint16_t> slot) const;
    WEIR_DECL char* pack_item(char* to, item const& one, std::uint8_t number) const;
    WEIR_DECL bool in(std::size_t index, std::optional<std::uint16_t> slot) const noexcept;
    WEIR_DECL bool asked(item const& one, form const& how) const noexcept;
    WEIR_DECL error_code read_rule(std::span<std::int64_t const> said, item const& one, rule_decision& to) const;
    WEIR_DECL std::size_t add_key(std::string_view prefix, charge const& c, key_layout layout);
    WEIR_DECL error_code add(charge const& c, std::string_view key_prefix, key_layout layout);
    WEIR_DECL bool repeats(std::size_t index) const noexcept;

    std::array<item, max_rules_per_check> items_;
    std::array<std::size_t, max_rules_per_check> key_ends_;
    std::size_t count_ = 0;
    std::size_t keys_ = 0;
    std::string text_;
    /// What the key of the record has behind a rate key.
    std::string record_part_;
    std::uint64_t holder_ = 0;
};

/// Fills `binding`, `allowed` and `retry_after` of a decision from what its rules say.
WEIR_DECL void conclude(decision& d) noexcept;

/// Marks a rule that was not asked, because another had decided before.
WEIR_DECL void skip(rule_decision& one) noexcept;

/// Sets `reset_after` to what it is once the cost is charged; before, it is as it was without it.
WEIR_DECL void add_to_reset(check_request::item const& one, rule_decision& to) noexcept;

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/check_script.ipp>
#endif
