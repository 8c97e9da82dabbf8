#pragma once

#include <weir/detail/lua_sources.hpp>
#include <weir/detail/packed.hpp>
#include <weir/detail/sha256.hpp>
#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/token_bucket.hpp>
#include <weir/rate_limit/window.hpp>
#include <weir/redis/hash_slot.hpp>

#include <algorithm>
#include <utility>

namespace weir {
namespace detail {

inline std::chrono::milliseconds to_milliseconds(std::int64_t microseconds) noexcept {
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::microseconds{microseconds});
}

/// What stands for a request id among holders: 64 bits of its SHA-256, which no client can make equal another's.
inline std::uint64_t holder_of(std::string_view request_id) {
    auto const digest = sha256(request_id);
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i)
        value = value << 8 | digest[static_cast<std::size_t>(i)];
    return value;
}

/// What lua/rate_check.lua is told of a rule besides its limit and cost.
struct packed_terms {
    std::uint8_t kind;
    std::uint64_t limit, window, unit, rate;
};

inline packed_terms packed(rule_terms const& t) noexcept {
    auto const window = static_cast<std::uint64_t>(t.window.count());
    switch (t.algorithm) {
    case algorithm::sliding_window:
        break;
    case algorithm::token_bucket: {
        auto const rate = rate_of(t.limit, t.window, t.burst);
        return {2, t.burst, rate.interval, 1, rate.tokens};
    }
    case algorithm::fixed_window:
        return {3, t.limit, window, window, 0};
    case algorithm::concurrency:
        return {4, t.limit, window, static_cast<std::uint64_t>(log_unit(t.window).count()), 0};
    }
    auto const counted = t.window + t.lease;
    auto const shape = shape_of(t.limit, counted);
    return {shape.kind, t.limit, static_cast<std::uint64_t>(counted.count()),
            static_cast<std::uint64_t>(shape.unit.count()), 0};
}

enum class rule_flags : std::uint8_t { none = 0, shadow = 1, forced = 2 };

/// The order of a request that keeps a record.
inline std::array<char, 15> packed_order(check_order order, std::chrono::milliseconds ttl, std::uint64_t holder) {
    std::array<char, 15> packed;
    auto* end = put_integer<1>(packed.data(), static_cast<std::uint64_t>(order));
    end = put_integer<6>(end, static_cast<std::uint64_t>(ttl.count()));
    put_integer<8>(end, holder);
    return packed;
}

inline char* put_rule(char* to, std::uint8_t key, rule_flags flags, std::uint32_t id, packed_terms const& terms,
                      std::uint64_t cost) noexcept {
    to = put_integer<1>(to, key);
    to = put_integer<1>(to, terms.kind);
    to = put_integer<1>(to, static_cast<std::uint64_t>(flags));
    to = put_integer<4>(to, id);
    to = put_integer<6>(to, terms.limit);
    to = put_integer<6>(to, terms.window);
    to = put_integer<6>(to, terms.unit);
    to = put_integer<6>(to, terms.rate);
    return put_integer<7>(to, cost);
}

} // namespace detail

WEIR_DECL redis::script const& rate_check_script() {
    static const redis::script instance{"rate_check", lua::rate_check};
    return instance;
}

WEIR_DECL redis::script const& rate_refund_script() {
    static const redis::script instance{"rate_refund", lua::rate_refund};
    return instance;
}

WEIR_DECL redis::script const& rate_reset_script() {
    static const redis::script instance{"rate_reset", lua::rate_reset};
    return instance;
}

WEIR_DECL redis::script const& rate_instances_script() {
    static const redis::script instance{"rate_instances", lua::rate_instances};
    return instance;
}

WEIR_DECL redis::script const& rate_wait_script() {
    static const redis::script instance{"rate_wait", lua::rate_wait};
    return instance;
}

WEIR_DECL std::vector<redis::script const*> rate_limit_scripts() {
    return {&rate_check_script(), &rate_refund_script(), &rate_reset_script(), &rate_instances_script(),
            &rate_wait_script()};
}

WEIR_DECL std::uint32_t rule_id(rule const& r) noexcept {
    std::uint32_t hash = 2166136261u; // FNV-1a, 32 bits
    for (unsigned char const c : r.name)
        hash = (hash ^ c) * 16777619u;
    return hash;
}

WEIR_DECL std::uint32_t penalty_id(rule const& r) noexcept { return rule_id(r) ^ 0xa5c3e1f7u; }

WEIR_DECL error_code check_request::assign(std::span<charge const> charges, std::string_view key_prefix,
                                           key_layout layout, std::string_view request_id) {
    count_ = keys_ = 0;
    text_.clear();
    record_part_.clear();
    if (charges.empty() || charges.size() > max_rules_per_check)
        return errc::invalid_argument;
    if (!request_id.empty()) {
        append_record_key(record_part_, {}, request_id);
        holder_ = detail::holder_of(request_id);
    }
    for (auto const& c : charges)
        if (auto const ec = add(c, key_prefix, layout))
            return ec;
    return {};
}

WEIR_DECL error_code check_request::add(charge const& c, std::string_view key_prefix, key_layout layout) {
    if (c.rule == nullptr || (c.cost > max_cost && c.cost != as_reserved))
        return errc::invalid_argument;
    auto const& r = *c.rule;
    auto const user = c.user.is_any() ? std::string_view{} : c.user.text();
    auto& one = items_[count_];
    one = {&r, terms_of(r, user), 0, c.cost, false, false};
    if (problem_of(one.terms) != nullptr)
        return errc::invalid_argument;
    if (!c.user.is_any() && (r.deny.contains(user) || r.allow.contains(user))) {
        one.listed = true;
        one.allowed = !r.deny.contains(user);
        ++count_;
        return {};
    }
    if (r.algorithm == algorithm::concurrency && c.cost > 0 && !has_request_id())
        return errc::invalid_argument;
    one.key = add_key(key_prefix, c, layout);
    if (repeats(count_))
        return errc::invalid_argument;
    ++count_;
    return {};
}

WEIR_DECL bool check_request::repeats(std::size_t index) const noexcept {
    auto const& last = items_[index];
    return std::any_of(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(index), [&](item const& other) {
        return !other.listed && other.key == last.key && rule_id(*other.rule) == rule_id(*last.rule);
    });
}

WEIR_DECL std::size_t check_request::add_key(std::string_view prefix, charge const& c, key_layout layout) {
    auto const begin = text_.size();
    append_rate_key(text_, prefix, c.user, c.endpoint, layout);
    auto const added = std::string_view{text_}.substr(begin);
    for (std::size_t i = 0; i < keys_; ++i) {
        if (key(i) == added) {
            text_.resize(begin);
            return i;
        }
    }
    key_ends_[keys_] = text_.size();
    return keys_++;
}

WEIR_DECL std::string_view check_request::key(std::size_t index) const noexcept {
    auto const begin = index == 0 ? 0 : key_ends_[index - 1];
    return std::string_view{text_}.substr(begin, key_ends_[index] - begin);
}

WEIR_DECL bool check_request::leasable() const noexcept {
    bool any = false;
    for (auto const& one : items()) {
        if (one.listed)
            continue;
        if (one.terms.lease.count() == 0 || one.rule->shadow || one.rule->penalty.after > 0 || one.cost == 0 ||
            one.cost != units())
            return false;
        any = true;
    }
    return any;
}

WEIR_DECL std::uint64_t check_request::units() const noexcept {
    auto const first = std::find_if(items().begin(), items().end(), [](item const& one) { return !one.listed; });
    return first == items().end() ? 0 : first->cost;
}

WEIR_DECL std::chrono::microseconds check_request::lease() const noexcept {
    auto least = std::chrono::microseconds::max();
    for (auto const& one : items())
        if (!one.listed)
            least = std::min(least, one.terms.lease);
    return least;
}

WEIR_DECL void check_request::set_units(std::uint64_t cost) noexcept {
    for (std::size_t i = 0; i < count_; ++i)
        if (!items_[i].listed)
            items_[i].cost = cost;
}

WEIR_DECL std::vector<rule> check_request::own_rules() {
    std::vector<rule> mine(count_);
    for (std::size_t i = 0; i < count_; ++i) {
        auto const& theirs = *std::exchange(items_[i].rule, &mine[i]);
        mine[i].name = theirs.name;
        mine[i].shadow = theirs.shadow;
        mine[i].penalty = theirs.penalty;
        mine[i].on_redis_failure = theirs.on_redis_failure;
    }
    return mine;
}

WEIR_DECL bool check_request::decided_by_lists() const noexcept {
    return std::all_of(items().begin(), items().end(), [](item const& one) { return one.listed; }) ||
           std::any_of(items().begin(), items().end(),
                       [](item const& one) { return one.listed && !one.allowed && !one.rule->shadow; });
}

WEIR_DECL void check_request::decide_by_lists(decision& out) const {
    out.rules.resize(count_);
    out.error = {};
    for (std::size_t i = 0; i < count_; ++i) {
        fill(items_[i], out.rules[i]);
        if (!items_[i].listed)
            skip(out.rules[i]);
    }
    conclude(out);
}

WEIR_DECL void check_request::fill(item const& one, rule_decision& to) const {
    to = {};
    to.rule = one.rule;
    to.limit = one.terms.burst;
    to.window = std::chrono::ceil<std::chrono::milliseconds>(one.terms.window);
    if (one.terms.algorithm == algorithm::token_bucket && one.terms.limit > 0)
        to.window = detail::to_milliseconds(static_cast<std::int64_t>(static_cast<double>(one.terms.window.count()) *
                                                                      static_cast<double>(one.terms.burst) /
                                                                      static_cast<double>(one.terms.limit)));
    to.remaining = to.limit;
    to.listed = one.listed;
    to.asked = !one.listed;
    if (!one.listed)
        return;
    to.allowed = one.allowed;
    to.outcome = one.allowed ? outcome::allow : one.rule->shadow ? outcome::shadow_deny : outcome::deny;
    to.retry_after = one.allowed ? std::chrono::milliseconds{0} : never;
    if (!one.allowed)
        to.remaining = 0;
}

WEIR_DECL std::vector<std::uint16_t> check_request::slots() const {
    std::vector<std::uint16_t> found;
    for (std::size_t k = 0; k < keys_; ++k)
        if (auto const slot = redis::hash_slot(key(k)); std::find(found.begin(), found.end(), slot) == found.end())
            found.push_back(slot);
    return found;
}

WEIR_DECL bool check_request::in(std::size_t index, std::optional<std::uint16_t> slot) const noexcept {
    return !slot || redis::hash_slot(key(index)) == *slot;
}

WEIR_DECL bool check_request::asked(item const& one, form const& how) const noexcept {
    return !one.listed && in(one.key, how.slot) && (how.order != check_order::extend || one.cost > 0);
}

WEIR_DECL std::size_t check_request::packed_rules() const noexcept {
    std::size_t n = 0;
    for (auto const& one : items())
        n += one.listed ? 0 : one.rule->penalty.after > 0 ? 2 : 1;
    return n;
}

/// The rule, and before it its penalty.
WEIR_DECL char* check_request::pack_item(char* to, item const& one, std::uint8_t number) const {
    auto const& penalty = one.rule->penalty;
    auto const flags = one.rule->shadow ? detail::rule_flags::shadow : detail::rule_flags::none;
    if (penalty.after > 0) {
        auto const window = static_cast<std::uint64_t>(one.terms.window.count());
        auto const block = std::chrono::microseconds{penalty.block};
        auto const unit = log_unit(std::max(one.terms.window, block));
        to = detail::put_rule(to, number, flags, penalty_id(*one.rule),
                              {5, penalty.after, static_cast<std::uint64_t>(block.count()),
                               static_cast<std::uint64_t>(unit.count()), window},
                              0);
    }
    return detail::put_rule(to, number, flags, rule_id(*one.rule), detail::packed(one.terms), one.cost);
}

WEIR_DECL std::size_t check_request::pack(char* to, std::span<std::uint8_t const> numbers) const {
    auto* end = to;
    for (auto const& one : items())
        if (!one.listed && numbers[one.key] > 0)
            end = pack_item(end, one, numbers[one.key]);
    return static_cast<std::size_t>(end - to);
}

/// The keys of one slot, or all, are numbered among themselves.
WEIR_DECL std::size_t check_request::pack(char* to, std::optional<std::uint16_t> slot) const {
    std::array<std::uint8_t, max_rules_per_check> numbers{};
    std::uint8_t number = 0;
    for (std::size_t k = 0; k < keys_; ++k)
        if (in(k, slot))
            numbers[k] = ++number;
    return pack(to, numbers);
}

WEIR_DECL bool check_request::is_packed_like(check_request const& other) const noexcept {
    auto const& mine = items_[0];
    auto const& its = other.items_[0];
    return count_ == 1 && other.count_ == 1 && !mine.listed && !its.listed && mine.rule == its.rule &&
           mine.rule->penalty.after == 0 && mine.cost == its.cost && mine.terms == its.terms;
}

WEIR_DECL std::string check_request::pack_forced(std::size_t index, std::uint64_t cost) const {
    auto const& one = items_[index];
    std::string packed(detail::packed_rule_size, '\0');
    detail::put_rule(packed.data(), 1, detail::rule_flags::forced, rule_id(*one.rule), detail::packed(one.terms), cost);
    return packed;
}

WEIR_DECL void check_request::encode_keys(redis::command& out, redis::script const& code,
                                          std::optional<std::uint16_t> slot, bool record, std::size_t arguments) const {
    std::size_t count = record ? 1 : 0;
    std::size_t first = keys_;
    for (std::size_t k = keys_; k-- > 0;) {
        if (in(k, slot)) {
            ++count;
            first = k;
        }
    }
    out.clear().evalsha(code, count, arguments);
    for (std::size_t k = first; k < keys_; ++k)
        if (in(k, slot))
            out.arg(key(k));
    if (record) {
        std::string name{key(first)};
        out.arg(name += record_part_);
    }
}

WEIR_DECL void check_request::encode(redis::command& out, form how, redis::script const& code) const {
    detail::packed_request packed;
    auto const size = pack(packed.data(), how.slot);
    bool const record = how.order != check_order::decide;
    bool const receipt = how.slot || how.receipt;
    encode_keys(out, code, how.slot, record, record || receipt ? 2 : 1);
    out.arg(std::string_view{packed.data(), size});
    if (record) {
        auto const order = detail::packed_order(how.order, how.record_ttl, holder_);
        out.arg(std::string_view{order.data(), order.size()});
    } else if (receipt) {
        out.arg("");
    }
}

WEIR_DECL void check_request::encode_wait(redis::command& out, wait_form const& how, redis::script const& code) const {
    detail::packed_request packed;
    auto const size = pack(packed.data(), how.slot);
    encode_keys(out, code, how.slot, has_request_id(), 4);
    out.arg(std::string_view{packed.data(), size});
    auto const order = detail::packed_order(check_order::once, how.record_ttl, holder_);
    out.arg(has_request_id() ? std::string_view{order.data(), order.size()} : std::string_view{});
    out.arg(how.longest.count()).arg(how.earliest.count());
}

WEIR_DECL error_code check_request::decode_wait(check_reply const& reply, wait_form const& how, decision& out,
                                                std::optional<place>& taken) const {
    taken.reset();
    std::array<std::int64_t, 3 + 6 * max_rules_per_check> copy;
    auto const said = std::span{copy}.first(reply.size());
    std::copy(reply.integers().begin(), reply.integers().end(), said.begin());
    if (said.size() < 3 || said[0] < 0)
        return errc::unexpected_reply;
    bool const shared = said[1] == 2;
    if (shared)
        said[1] = 1;
    form as;
    as.receipt = true;
    as.slot = how.slot;
    std::int64_t receipt = 0;
    if (auto const ec = decode(said.subspan(1), as, out, receipt))
        return ec;
    if (said[1] == 1)
        taken = place{said[2], std::chrono::microseconds{said[0]}, shared};
    return {};
}

WEIR_DECL void check_request::encode_refund(redis::command& out, std::optional<std::uint16_t> slot,
                                            std::optional<std::int64_t> receipt, redis::script const& code) const {
    detail::packed_request packed;
    auto const size = pack(packed.data(), slot);
    bool const record = receipt && has_request_id();
    encode_keys(out, code, slot, record, 3);
    if (receipt)
        out.arg(*receipt);
    else
        out.arg("");
    out.arg(std::string_view{packed.data(), size});
    std::array<char, 8> holder;
    detail::put_integer<8>(holder.data(), holder_);
    out.arg(record ? std::string_view{holder.data(), holder.size()} : std::string_view{});
}

/// Reads the three integers of a rule, and before them of its penalty, which refuses as the rule itself does.
WEIR_DECL error_code check_request::read_rule(std::span<std::int64_t const> said, item const& one,
                                              rule_decision& to) const {
    fill(one, to);
    auto const own = said.last(3);
    auto retry = own[1], reset = own[2];
    if (own[0] < 0 || retry < -1)
        return errc::unexpected_reply;
    if (said.size() == 6) {
        retry = retry < 0 ? retry : std::max(retry, said[1]);
        reset = std::max(reset, said[2]);
    }
    to.allowed = retry == 0;
    to.outcome = to.allowed ? outcome::allow : one.rule->shadow ? outcome::shadow_deny : outcome::deny;
    to.remaining = static_cast<std::uint64_t>(own[0]);
    to.retry_after = retry < 0 ? never : detail::to_milliseconds(retry);
    to.reset_after = detail::to_milliseconds(reset);
    return {};
}

WEIR_DECL error_code check_request::decode(std::span<std::int64_t const> reply, form how, decision& out,
                                           std::int64_t& receipt) const {
    receipt = 0;
    if (how.order != check_order::decide && reply.size() == 1 && reply[0] < 0)
        return reply[0] == -2 ? errc::already_settled : errc::unknown_request;
    out.rules.resize(count_);
    out.error = {};
    bool const with_receipt = how.slot || how.receipt || how.order != check_order::decide;
    std::size_t asked_rules = 0;
    for (auto const& one : items())
        asked_rules += asked(one, how) ? one.rule->penalty.after > 0 && how.order != check_order::extend ? 2 : 1 : 0;
    bool const brief = !with_receipt && reply.size() == asked_rules;
    std::size_t at = brief ? 0 : with_receipt ? 2 : 1;
    // Among those of other requests 1 and 0 are -1 and -2.
    if (reply.empty())
        return errc::unexpected_reply;
    auto const first = brief ? 1 : reply[0] + (how.shared ? 2 : 0);
    if (!brief && (reply.size() != at + 3 * asked_rules || first < 0 || first > 1))
        return errc::unexpected_reply;
    bool admitted = true, charged = false;
    for (std::size_t i = 0; i < count_; ++i) {
        auto const& one = items_[i];
        if (one.listed || !asked(one, how)) {
            if (one.listed || !how.slot)
                fill(one, out.rules[i]);
            if (!one.listed && !how.slot) // not asked to extend
                skip(out.rules[i]);
            continue;
        }
        std::size_t const parts = one.rule->penalty.after > 0 && how.order != check_order::extend ? 2 : 1;
        std::array<std::int64_t, 6> said{};
        for (std::size_t j = 0; j < parts; ++j)
            for (std::size_t field = 0; field < (brief ? 1 : 3); ++field)
                said[3 * j + field] = reply[at++];
        if (auto const ec = read_rule(std::span{said}.first(3 * parts), one, out.rules[i]))
            return ec;
        admitted = admitted && (out.rules[i].allowed || one.rule->shadow);
        charged = charged || one.cost > 0;
    }
    if (admitted != (first == 1) || (with_receipt && reply[1] <= 0))
        return errc::unexpected_reply;
    if (with_receipt && admitted && charged)
        receipt = reply[1];
    if (how.slot)
        return {};
    conclude(out);
    for (std::size_t i = 0; i < count_; ++i)
        if (out.allowed && out.rules[i].allowed && !items_[i].listed)
            add_to_reset(items_[i], out.rules[i]);
    return {};
}

WEIR_DECL error_code check_request::decode(check_reply const& reply, form how, settlement& out) const {
    if (reply.size() == 1 && reply[0] < 0)
        return errc::unknown_request;
    out.rules.resize(count_);
    std::size_t at = 2;
    for (std::size_t i = 0; i < count_; ++i) {
        auto const& one = items_[i];
        if (!asked(one, how)) {
            if (!how.slot || one.listed)
                out.rules[i] = {one.rule, 0, 0};
            continue;
        }
        if (one.rule->penalty.after > 0)
            at += 2;
        if (at + 2 > reply.size() || reply[at] < 0 || reply[at + 1] < 0)
            return errc::unexpected_reply;
        out.rules[i] = {one.rule, static_cast<std::uint64_t>(reply[at]), static_cast<std::uint64_t>(reply[at + 1])};
        at += 2;
    }
    return at == reply.size() && reply[0] == 1 ? error_code{} : errc::unexpected_reply;
}

WEIR_DECL void add_to_reset(check_request::item const& one, rule_decision& to) noexcept {
    if (one.cost == 0)
        return;
    switch (one.terms.algorithm) {
    case algorithm::sliding_window: // what was charged just now counts for a whole window from now
    case algorithm::concurrency:
        to.reset_after =
            std::max(to.reset_after, to.window + std::chrono::ceil<std::chrono::milliseconds>(one.terms.lease));
        break;
    case algorithm::token_bucket: {
        auto const rate = rate_of(one.terms.limit, one.terms.window, one.terms.burst);
        to.reset_after += detail::to_milliseconds(
            static_cast<std::int64_t>((one.cost * rate.interval + rate.tokens - 1) / rate.tokens));
        break;
    }
    case algorithm::fixed_window:
        break;
    }
}

WEIR_DECL void skip(rule_decision& one) noexcept {
    one.asked = false;
    one.allowed = true;
    one.outcome = outcome::allow;
}

WEIR_DECL void conclude(decision& d) noexcept {
    d.allowed = true;
    d.binding = 0;
    d.retry_after = std::chrono::milliseconds{0};
    for (std::size_t i = 0; i < d.rules.size(); ++i) {
        auto const& one = d.rules[i];
        if (!one.allowed && one.outcome != outcome::shadow_deny && (d.allowed || one.retry_after > d.retry_after)) {
            d.allowed = false;
            d.binding = i;
            d.retry_after = one.retry_after;
        }
    }
    if (!d.allowed)
        return;
    auto const share = [](rule_decision const& one) {
        if (!one.asked || one.rule->shadow)
            return 2.0; // binds nobody
        return one.limit == 0 ? 0.0 : static_cast<double>(one.remaining) / static_cast<double>(one.limit);
    };
    for (std::size_t i = 1; i < d.rules.size(); ++i)
        if (share(d.rules[i]) < share(d.rules[d.binding]))
            d.binding = i;
}

} // namespace weir
