#pragma once

#include <weir/detail/lua_sources.hpp>
#include <weir/detail/packed.hpp>
#include <weir/lock/script.hpp>
#include <weir/redis/hash_slot.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace weir::lock {
namespace detail {

using weir::detail::put_integer;

/// For each slot of a cluster a text that lies in it.
inline std::string const& tag_of(std::uint16_t slot) {
    static std::vector<std::string> const tags = [] {
        std::vector<std::string> all(redis::slot_count);
        for (std::size_t missing = all.size(), i = 0; missing > 0; ++i) {
            auto text = std::to_string(i);
            auto& place = all[redis::hash_slot(text)];
            if (place.empty()) {
                place = std::move(text);
                --missing;
            }
        }
        return all;
    }();
    return tags[slot];
}

inline void append_number(std::string& out, std::uint64_t value) {
    std::array<char, 20> digits;
    auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    out.append(digits.data(), end);
}

inline std::uint64_t milliseconds_of(std::chrono::milliseconds t) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(t.count(), 0));
}

/// As a member of the queue has it.
inline std::string waiter_text(demand const& what) {
    std::string text = what.token;
    for (auto const number : {std::uint64_t{what.weight}, milliseconds_of(what.heartbeat)}) {
        text += ' ';
        append_number(text, number);
    }
    text += ' ';
    text += std::string_view(what.who).substr(0, max_who);
    return text;
}

/// The next word of a member; empty where there is none.
inline std::string_view next_word(std::string_view& text) {
    auto const word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    return word;
}

template <class Integer>
bool read_number(std::string_view word, Integer& into) {
    auto const [end, ec] = std::from_chars(word.data(), word.data() + word.size(), into);
    return ec == std::errc{} && end == word.data() + word.size();
}

} // namespace detail

WEIR_DECL script_set const& production_scripts() {
    static redis::script const acquire{"lock_acquire", lua::lock_acquire};
    static redis::script const release{"lock_release", lua::lock_release};
    static redis::script const extend{"lock_extend", lua::lock_extend};
    static redis::script const break_open{"lock_break", lua::lock_break};
    static redis::script const raise_floor{"lock_floor", lua::lock_floor};
    static redis::script const publish{"lock_publish", lua::lock_publish};
    static script_set const all{&acquire, &release, &extend, &break_open, &raise_floor, &publish};
    return all;
}

WEIR_DECL std::vector<redis::script const*> scripts() {
    auto const& all = production_scripts();
    return {all.acquire, all.release, all.extend, all.break_open, all.raise_floor, all.publish};
}

WEIR_DECL std::string holding_text(demand const& what, std::uint64_t fence) {
    std::string text = what.token;
    for (auto const number : {std::uint64_t{what.weight}, fence, detail::milliseconds_of(what.lasts)}) {
        text += ' ';
        detail::append_number(text, number);
    }
    text += ' ';
    text += std::string_view(what.who).substr(0, max_who);
    return text;
}

WEIR_DECL std::optional<holding> read_holding(std::string_view text) {
    holding result;
    result.what.token = detail::next_word(text);
    std::uint64_t lasts = 0;
    if (result.what.token.size() != 32 ||
        result.what.token.find_first_not_of("0123456789abcdef") != result.what.token.npos ||
        !detail::read_number(detail::next_word(text), result.what.weight) ||
        !detail::read_number(detail::next_word(text), result.fence) ||
        !detail::read_number(detail::next_word(text), lasts) || result.what.weight != 1 || result.fence == 0 ||
        lasts == 0 || lasts > 86'400'000 || text.size() > max_who)
        return std::nullopt;
    result.what.lasts = std::chrono::milliseconds{lasts};
    result.what.who = text;
    return result;
}

WEIR_DECL script_calls::script_calls(std::string_view prefix, std::string_view name, key_layout layout) {
    append_lock_key(holders_, prefix, name, layout);
    queue_ = holders_ + "#queue";
    alive_ = holders_ + "#alive";
    gone_ = holders_ + "#gone";
    result_ = holders_ + "#result";
    append_lock_fence_key(fence_, prefix,
                          layout == key_layout::cluster ? detail::tag_of(redis::hash_slot(holders_)) : std::string());
    append_lock_channel(channel_, prefix);
}

WEIR_DECL void script_calls::acquire(redis::command& out, demand const& what, std::uint64_t known_fence,
                                     redis::script const& code) const {
    std::array<char, 24> packed;
    auto* end = packed.data();
    end = detail::put_integer<4>(end, what.weight);
    end = detail::put_integer<4>(end, what.limit);
    end = detail::put_integer<5>(end, detail::milliseconds_of(what.lasts));
    end = detail::put_integer<4>(end, detail::milliseconds_of(what.heartbeat));
    detail::put_integer<7>(end, known_fence);
    out.clear().evalsha(code, 5, 4).arg(holders_).arg(queue_).arg(alive_).arg(gone_).arg(fence_);
    out.arg(what.token).arg(std::string_view(what.who).substr(0, max_who)).arg(channel_);
    out.arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL void script_calls::release(redis::command& out, demand const& what, std::uint64_t fence,
                                     std::chrono::milliseconds remember, redis::script const& code) const {
    std::array<char, 10> packed;
    auto* end = detail::put_integer<4>(packed.data(), what.limit);
    end = detail::put_integer<5>(end, detail::milliseconds_of(remember));
    detail::put_integer<1>(end, 0);
    out.clear().evalsha(code, 4, 3).arg(holders_).arg(queue_).arg(alive_).arg(gone_);
    out.arg(holding_text(what, fence)).arg(channel_).arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL void script_calls::give_up(redis::command& out, demand const& what, std::chrono::milliseconds remember,
                                     redis::script const& code) const {
    std::array<char, 10> packed;
    auto* end = detail::put_integer<4>(packed.data(), what.limit);
    end = detail::put_integer<5>(end, detail::milliseconds_of(remember));
    detail::put_integer<1>(end, 1);
    out.clear().evalsha(code, 4, 3).arg(holders_).arg(queue_).arg(alive_).arg(gone_);
    out.arg(detail::waiter_text(what)).arg(channel_).arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL void script_calls::extend(redis::command& out, demand const& what, std::uint64_t fence,
                                    redis::script const& code) const {
    std::array<char, 9> packed;
    detail::put_integer<4>(detail::put_integer<5>(packed.data(), detail::milliseconds_of(what.lasts)), what.limit);
    out.clear().evalsha(code, 1, 2).arg(holders_).arg(holding_text(what, fence));
    out.arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL void script_calls::publish(redis::command& out, demand const& what, std::uint64_t fence,
                                     std::string_view result, std::chrono::milliseconds keep,
                                     redis::script const& code) const {
    std::string record;
    detail::append_number(record, fence);
    record += ' ';
    record += result;
    out.clear().evalsha(code, 2, 3).arg(holders_).arg(result_).arg(holding_text(what, fence)).arg(record);
    out.arg(detail::milliseconds_of(keep));
}

WEIR_DECL void script_calls::raise_floor(redis::command& out, std::uint64_t fence, redis::script const& code) const {
    out.clear().evalsha(code, 1, 1).arg(fence_).arg(fence);
}

WEIR_DECL void script_calls::break_open(redis::command& out, std::uint32_t limit, redis::script const& code) const {
    std::array<char, 4> packed;
    detail::put_integer<4>(packed.data(), limit);
    out.clear().evalsha(code, 4, 2).arg(holders_).arg(queue_).arg(alive_).arg(gone_);
    out.arg(channel_).arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL std::optional<acquire_answer> read_acquire(redis::int_sink_base const& reply) {
    if (reply.size() != 3 || reply[0] < 0 || reply[0] > 2 || reply[1] < 0 || reply[2] < 0)
        return std::nullopt;
    acquire_answer answer{static_cast<acquire_answer::outcome>(reply[0])};
    if (answer.what == acquire_answer::outcome::held) {
        answer.fence = static_cast<std::uint64_t>(reply[1]);
        answer.since_offer = std::chrono::microseconds{reply[2]};
    } else {
        answer.ahead = static_cast<std::uint64_t>(reply[1]);
        answer.soonest = std::chrono::microseconds{reply[2]};
    }
    return answer;
}

WEIR_DECL std::optional<lock_message> read_message(std::string_view text) {
    if (text.size() != 33 || (text[0] != '+' && text[0] != '-'))
        return std::nullopt;
    return lock_message{text[0] == '+', text.substr(1)};
}

WEIR_DECL std::optional<member> read_holder(std::string_view text) {
    member result;
    result.token = detail::next_word(text);
    std::int64_t fence = 0;
    std::uint64_t lasts = 0;
    if (!detail::read_number(detail::next_word(text), result.weight) ||
        !detail::read_number(detail::next_word(text), fence) || !detail::read_number(detail::next_word(text), lasts))
        return std::nullopt;
    result.fence = fence > 0 ? static_cast<std::uint64_t>(fence) : 0;
    result.who = text;
    return result;
}

WEIR_DECL std::optional<member> read_waiter(std::string_view text) {
    member result;
    result.token = detail::next_word(text);
    std::uint64_t heartbeat = 0;
    if (!detail::read_number(detail::next_word(text), result.weight) ||
        !detail::read_number(detail::next_word(text), heartbeat))
        return std::nullopt;
    result.who = text;
    return result;
}

} // namespace weir::lock
