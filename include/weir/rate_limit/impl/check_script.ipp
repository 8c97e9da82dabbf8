#pragma once

#include <weir/detail/lua_sources.hpp>
#include <weir/rate_limit/check_script.hpp>
#include <weir/rate_limit/window.hpp>
#include <weir/redis/hash_slot.hpp>

#include <algorithm>

namespace weir {
namespace detail {

/// The bytes of one rule in the argument of lua/rate_check.lua.
inline constexpr std::size_t packed_rule_size = 30;

/// Writes a big-endian integer of some bytes, as struct.unpack('>In') reads it; returns where it ends.
template <std::size_t Bytes>
char* put_integer(char* to, std::uint64_t value) noexcept {
    for (std::size_t i = Bytes; i-- > 0; value >>= 8)
        to[i] = static_cast<char>(value & 0xff);
    return to + Bytes;
}

inline std::chrono::milliseconds to_milliseconds(std::int64_t microseconds) noexcept {
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::microseconds{microseconds});
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

WEIR_DECL std::vector<redis::script const*> rate_limit_scripts() {
    return {&rate_check_script(), &rate_refund_script(), &rate_reset_script()};
}

WEIR_DECL std::uint32_t rule_id(rule const& r) noexcept {
    std::uint32_t hash = 2166136261u; // FNV-1a, 32 bits
    for (unsigned char const c : r.name)
        hash = (hash ^ c) * 16777619u;
    return hash;
}

WEIR_DECL error_code check_request::assign(std::span<charge const> charges, std::string_view key_prefix,
                                           key_layout layout) {
    count_ = keys_ = 0;
    text_.clear();
    if (charges.empty() || charges.size() > max_rules_per_check)
        return errc::invalid_argument;
    for (auto const& c : charges) {
        if (!valid(c))
            return errc::invalid_argument;
        items_[count_] = {c.rule, add_key(key_prefix, c, layout), c.cost};
        if (repeats(count_))
            return errc::invalid_argument;
        ++count_;
    }
    return {};
}

WEIR_DECL bool check_request::valid(charge const& c) const noexcept {
    return c.rule != nullptr && c.rule->limit <= max_limit && c.rule->window >= min_window &&
           c.rule->window <= max_window && c.cost <= max_cost;
}

WEIR_DECL bool check_request::repeats(std::size_t index) const noexcept {
    auto const& last = items_[index];
    return std::any_of(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(index), [&](item const& other) {
        return other.key == last.key && rule_id(*other.rule) == rule_id(*last.rule);
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

WEIR_DECL std::uint16_t check_request::slot_of(std::size_t index) const noexcept {
    return redis::hash_slot(key(items_[index].key));
}

WEIR_DECL std::vector<std::uint16_t> check_request::slots() const {
    std::vector<std::uint16_t> found;
    for (std::size_t k = 0; k < keys_; ++k)
        if (auto const slot = redis::hash_slot(key(k)); std::find(found.begin(), found.end(), slot) == found.end())
            found.push_back(slot);
    return found;
}

/// Packs the rules, of one slot or all; the keys of one slot are numbered among themselves.
WEIR_DECL std::size_t check_request::pack(char* to, std::optional<std::uint16_t> slot) const {
    std::array<std::size_t, max_rules_per_check> numbers{};
    std::size_t number = 0;
    for (std::size_t k = 0; k < keys_; ++k)
        numbers[k] = !slot || redis::hash_slot(key(k)) == *slot ? ++number : 0;
    auto* end = to;
    for (auto const& one : items()) {
        if (numbers[one.key] == 0)
            continue;
        auto const window = std::chrono::microseconds{one.rule->window};
        auto const shape = shape_of(one.rule->limit, window);
        end = detail::put_integer<1>(end, numbers[one.key]);
        end = detail::put_integer<1>(end, shape.kind);
        end = detail::put_integer<4>(end, rule_id(*one.rule));
        end = detail::put_integer<6>(end, one.rule->limit);
        end = detail::put_integer<6>(end, static_cast<std::uint64_t>(window.count()));
        end = detail::put_integer<5>(end, static_cast<std::uint64_t>(shape.unit.count()));
        end = detail::put_integer<7>(end, one.cost);
    }
    return static_cast<std::size_t>(end - to);
}

WEIR_DECL void check_request::encode(redis::command& out, redis::script const& code) const {
    std::array<char, max_rules_per_check * detail::packed_rule_size> packed;
    auto const size = pack(packed.data(), std::nullopt);
    out.clear().evalsha(code, keys_, 1);
    for (std::size_t k = 0; k < keys_; ++k)
        out.arg(key(k));
    out.arg(std::string_view{packed.data(), size});
}

WEIR_DECL void check_request::encode_slot(redis::command& out, std::uint16_t slot, redis::script const& code) const {
    std::array<char, max_rules_per_check * detail::packed_rule_size> packed;
    auto const size = pack(packed.data(), slot);
    std::size_t count = 0;
    for (std::size_t k = 0; k < keys_; ++k)
        count += redis::hash_slot(key(k)) == slot ? 1 : 0;
    out.clear().evalsha(code, count, 2);
    for (std::size_t k = 0; k < keys_; ++k)
        if (redis::hash_slot(key(k)) == slot)
            out.arg(key(k));
    out.arg(std::string_view{packed.data(), size}).arg("");
}

WEIR_DECL void check_request::encode_refund(redis::command& out, std::uint16_t slot, std::int64_t receipt) const {
    std::array<char, max_rules_per_check * detail::packed_rule_size> packed;
    auto const size = pack(packed.data(), slot);
    std::size_t count = 0;
    for (std::size_t k = 0; k < keys_; ++k)
        count += redis::hash_slot(key(k)) == slot ? 1 : 0;
    out.clear().evalsha(rate_refund_script(), count, 2);
    for (std::size_t k = 0; k < keys_; ++k)
        if (redis::hash_slot(key(k)) == slot)
            out.arg(key(k));
    out.arg(receipt).arg(std::string_view{packed.data(), size});
}

WEIR_DECL error_code check_request::read_rule(std::int64_t remaining, std::int64_t retry, std::int64_t reset,
                                              std::size_t index, rule_decision& to) const {
    if (remaining < 0 || retry < -1)
        return errc::unexpected_reply;
    to.rule = items_[index].rule;
    to.allowed = retry == 0;
    to.outcome = to.allowed ? outcome::allow : outcome::deny;
    to.remaining = static_cast<std::uint64_t>(remaining);
    to.retry_after = retry < 0 ? never : detail::to_milliseconds(retry);
    to.reset_after = detail::to_milliseconds(reset);
    return {};
}

WEIR_DECL error_code check_request::decode_slot(check_reply const& reply, std::uint16_t slot, decision& out,
                                                std::int64_t& receipt) const {
    receipt = 0;
    std::size_t at = 2;
    bool admitted = true, charged = false;
    for (std::size_t i = 0; i < count_; ++i) {
        if (slot_of(i) != slot)
            continue;
        if (at + 3 > reply.size())
            return errc::unexpected_reply;
        if (auto const ec = read_rule(reply[at], reply[at + 1], reply[at + 2], i, out.rules[i]))
            return ec;
        at += 3;
        admitted = admitted && out.rules[i].allowed;
        charged = charged || items_[i].cost > 0;
    }
    if (at != reply.size() || reply[0] != (admitted ? 1 : 0) || reply[1] <= 0)
        return errc::unexpected_reply;
    if (admitted && charged)
        receipt = reply[1];
    return {};
}

WEIR_DECL error_code check_request::decode(check_reply const& reply, decision& out) const {
    bool const brief = reply.size() == count_;
    if (!brief && (reply.size() != 1 + 3 * count_ || reply[0] < 0 || reply[0] > 1))
        return errc::unexpected_reply;
    out.rules.resize(count_);
    out.error = {};
    for (std::size_t i = 0; i < count_; ++i)
        if (auto const ec = brief ? read_rule(reply[i], 0, 0, i, out.rules[i])
                                  : read_rule(reply[1 + 3 * i], reply[2 + 3 * i], reply[3 + 3 * i], i, out.rules[i]))
            return ec;
    conclude(out);
    // What was charged just now counts for a whole window from now.
    for (std::size_t i = 0; i < count_; ++i)
        if (out.allowed && items_[i].cost > 0)
            out.rules[i].reset_after = items_[i].rule->window;
    if (out.allowed != (brief || reply[0] == 1))
        return errc::unexpected_reply;
    return {};
}

WEIR_DECL void conclude(decision& d) noexcept {
    d.allowed = true;
    d.binding = 0;
    d.retry_after = std::chrono::milliseconds{0};
    for (std::size_t i = 0; i < d.rules.size(); ++i) {
        auto const& one = d.rules[i];
        if (!one.allowed && (d.allowed || one.retry_after > d.retry_after)) {
            d.allowed = false;
            d.binding = i;
            d.retry_after = one.retry_after;
        }
    }
    if (!d.allowed)
        return;
    auto const share = [](rule_decision const& one) {
        return one.rule->limit == 0 ? 0.0 : static_cast<double>(one.remaining) / static_cast<double>(one.rule->limit);
    };
    for (std::size_t i = 1; i < d.rules.size(); ++i)
        if (share(d.rules[i]) < share(d.rules[d.binding]))
            d.binding = i;
}

} // namespace weir
