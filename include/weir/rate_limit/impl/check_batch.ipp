#pragma once

#include <weir/rate_limit/check_batch.hpp>

#include <algorithm>
#include <array>

namespace weir {

WEIR_DECL bool check_batch::add(check_request const& one) {
    auto const size = 1 + 3 * one.packed_rules();
    if (requests_.size() == max_requests || numbers_ + size > max_numbers ||
        keys_.size() + one.key_count() > 255) // a key's number is one byte
        return false;
    auto& added = requests_.emplace_back();
    added.request = &one;
    added.rules = one.packed_rules();
    for (std::size_t k = 0; k < one.key_count(); ++k)
        added.key_numbers[k] = number_of(one.key(k));
    numbers_ += size;
    return true;
}

WEIR_DECL std::uint8_t check_batch::number_of(std::string_view key) {
    auto const known = std::find(keys_.begin(), keys_.end(), key);
    auto const index = known - keys_.begin();
    if (known == keys_.end())
        keys_.push_back(key);
    return static_cast<std::uint8_t>(index + 1);
}

/// Requests of one rule that follow each other and are alike but for their key become one argument: the first of them,
/// and the numbers of the others' keys.
WEIR_DECL void check_batch::encode(redis::command& out, redis::script const& code) {
    // By its length such an argument is told from one of several rules.
    static_assert(max_requests <= detail::packed_rule_size);
    std::array<char, max_numbers / 3 * detail::packed_rule_size> packed; // a rule takes three numbers of the reply
    std::array<std::size_t, max_requests> ends;
    std::size_t arguments = 0;
    char* end = packed.data();
    check_request const* last = nullptr;
    for (auto const& one : requests_) {
        if (last && one.request->is_packed_like(*last)) {
            *end++ = static_cast<char>(one.key_numbers[0]);
        } else {
            end += one.request->pack(end, one.key_numbers);
            ++arguments;
        }
        last = one.request;
        ends[arguments - 1] = static_cast<std::size_t>(end - packed.data());
    }
    out.clear().evalsha(code, keys_.size(), arguments);
    for (auto const key : keys_)
        out.arg(key);
    for (std::size_t i = 0, begin = 0; i < arguments; begin = ends[i++])
        out.arg(std::string_view{&packed[begin], ends[i] - begin});
}

WEIR_DECL std::span<std::int64_t const> check_batch::take_reply(std::size_t index,
                                                                std::span<std::int64_t const>& left) {
    if (shared_.by == 0 && !begin_shared(index, left))
        return take_own(index, left);
    --shared_.by;
    shared_.add_remaining(0 - shared_.step);
    return std::span{shared_.said}.first(shared_.size);
}

WEIR_DECL std::span<std::int64_t const> check_batch::take_own(std::size_t index,
                                                              std::span<std::int64_t const>& left) const {
    if (left.empty())
        return {};
    auto const rules = requests_[index].rules;
    auto const size = left.front() < 0 ? 1 + 3 * rules : rules;
    if (size > left.size())
        return {};
    auto const mine = left.first(size);
    left = left.subspan(size);
    return mine;
}

/// Takes an answer that several share, where one is next; where that cannot be, nothing is left of the reply.
WEIR_DECL bool check_batch::begin_shared(std::size_t index, std::span<std::int64_t const>& left) {
    auto const asked = std::span{requests_}.subspan(index);
    bool const for_all = index == 0 && asked.size() > 1 && left.size() == 1;
    if (!for_all && (left.empty() || left.front() >= -2))
        return false;
    auto const by = for_all ? asked.size() : static_cast<std::uint64_t>(-1 - left.front());
    if (!for_all)
        left = left.subspan(1);
    bool possible = by <= asked.size();
    for (std::size_t i = 0; possible && i < by; ++i)
        possible = asked[i].rules == 1;
    auto const last = possible ? take_own(index, left) : std::span<std::int64_t const>{};
    if (last.empty()) {
        left = {};
        return false;
    }
    bool const charged = last.size() == 1 || last.front() == -1;
    shared_.by = by;
    shared_.step = charged ? requests_[index].request->units() : 0;
    shared_.size = last.size();
    std::copy(last.begin(), last.end(), shared_.said.begin());
    shared_.add_remaining(shared_.step * by);
    return true;
}

} // namespace weir
