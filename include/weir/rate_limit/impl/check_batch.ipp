#pragma once

#include <weir/rate_limit/check_batch.hpp>

#include <algorithm>

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

WEIR_DECL void check_batch::encode(redis::command& out, redis::script const& code) {
    out.clear().evalsha(code, keys_.size(), requests_.size());
    for (auto const key : keys_)
        out.arg(key);
    for (auto const& one : requests_) {
        detail::packed_request packed;
        auto const size = one.request->pack(packed.data(), one.key_numbers);
        out.arg(std::string_view{packed.data(), size});
    }
}

WEIR_DECL std::span<std::int64_t const> check_batch::take_reply(std::size_t index,
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

} // namespace weir
