#include "proxy/insight.hpp"

#include <algorithm>

namespace weir::proxy {
namespace {

/// Cut between characters of UTF-8.
std::string_view cut(std::string_view text) noexcept {
    if (text.size() <= max_remembered_text)
        return text;
    auto end = max_remembered_text;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        --end;
    return text.substr(0, end);
}

std::string_view text_of(key_part part) noexcept { return part.is_any() ? std::string_view{"*"} : cut(part.text()); }

std::uint64_t mix(std::uint64_t x) noexcept { // the finalizer of MurmurHash3
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

/// Somebody who chooses users so that their hashes are equal has them shown as one: that much is theirs.
std::uint64_t hash_of(charge const& asked) noexcept {
    constexpr std::hash<std::string_view> hash;
    return mix(hash(asked.user.text()) + mix(hash(asked.endpoint.text()) + mix(hash(asked.rule->name))));
}

} // namespace

void hot_keys::add(charge const& asked, bool refused) {
    present_.add(hash_of(asked), refused, [&](hot_key& key) {
        key.rule = asked.rule->name;
        key.user = text_of(asked.user);
        key.endpoint = text_of(asked.endpoint);
    });
}

void hot_keys::tick(boot_clock::time_point now) {
    if (now - begun_ < span)
        return;
    std::swap(present_, before_);
    present_.clear();
    since_ = begun_;
    begun_ = now;
}

void refusal_log::add(refused_request const& what, decision const& made, std::span<charge const> asked) {
    if (records_.size() < capacity)
        records_.emplace_back();
    auto& record = records_[next_];
    next_ = (next_ + 1) % capacity;
    record.at = std::chrono::system_clock::now();
    record.request_id = cut(what.request_id);
    record.client = cut(what.client);
    record.method = cut(what.method);
    record.path = cut(what.path);
    record.detail = cut(what.detail);
    record.status = what.status;
    record.route = what.route;
    record.error = made.error;
    record.rules_asked = std::min(made.rules.size(), asked.size());
    if (record.rules.size() < record.rules_asked)
        record.rules.resize(record.rules_asked);
    for (std::size_t i = 0; i < record.rules_asked; ++i) {
        auto& rule = record.rules[i];
        auto const& by = asked[i];
        rule.name = by.rule->name;
        rule.algorithm = by.rule->algorithm;
        rule.shadow = by.rule->shadow;
        rule.user = text_of(by.user);
        rule.endpoint = text_of(by.endpoint);
        rule.cost = by.cost;
        rule.said = made.rules[i];
        rule.said.rule = nullptr;
    }
}

} // namespace weir::proxy
