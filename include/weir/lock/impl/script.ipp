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

/// How a member begins.
inline std::string head_text(demand const& what) {
    std::string text = what.token;
    text += ' ';
    append_number(text, what.weight);
    text += ' ';
    return text;
}

/// As a member of the queue has it.
inline std::string waiter_text(demand const& what) {
    auto text = head_text(what);
    for (auto const time : {what.heartbeat, what.lasts}) {
        append_number(text, milliseconds_of(time));
        text += ' ';
    }
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
    auto text = detail::head_text(what);
    for (auto const number : {fence, detail::milliseconds_of(what.lasts)}) {
        detail::append_number(text, number);
        text += ' ';
    }
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

WEIR_DECL redis::command& script_calls::begin(redis::command& out, redis::script const& code, std::size_t arguments,
                                              std::uint64_t known_fence) const {
    out.clear().evalsha(code, 5, 2 + arguments).arg(fence_).arg(holders_).arg(queue_).arg(gone_).arg(alive_);
    return out.arg(known_fence).arg(channel_);
}

WEIR_DECL void script_calls::acquire(redis::command& out, demand const& what, std::uint64_t known_fence,
                                     redis::script const& code) const {
    std::array<char, 8> packed;
    detail::put_integer<4>(detail::put_integer<4>(packed.data(), what.limit), detail::milliseconds_of(what.heartbeat));
    begin(out, code, 4, known_fence).arg(detail::head_text(what)).arg(detail::milliseconds_of(what.lasts));
    out.arg(std::string_view(what.who).substr(0, max_who)).arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL void script_calls::release(redis::command& out, demand const& what, std::uint64_t fence,
                                     std::chrono::milliseconds remember, redis::script const& code) const {
    begin(out, code, 2, fence).arg(holding_text(what, fence));
    append_release(out, what, remember, false);
}

WEIR_DECL void script_calls::give_up(redis::command& out, demand const& what, std::chrono::milliseconds remember,
                                     redis::script const& code) const {
    begin(out, code, 2, 0).arg(detail::waiter_text(what));
    append_release(out, what, remember, true);
}

WEIR_DECL void script_calls::append_release(redis::command& out, demand const& what, std::chrono::milliseconds remember,
                                            bool unknown) {
    std::array<char, 10> packed;
    auto* end = detail::put_integer<4>(packed.data(), what.limit);
    end = detail::put_integer<5>(end, detail::milliseconds_of(remember));
    detail::put_integer<1>(end, unknown);
    out.arg(std::string_view(packed.data(), packed.size()));
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
    begin(out, code, 1, 0).arg(std::string_view(packed.data(), packed.size()));
}

WEIR_DECL std::optional<acquire_answer> read_acquire(redis::int_sink_base const& reply) {
    if (reply.size() == 1 && reply[0] > 0)
        return acquire_answer{acquire_answer::outcome::held, static_cast<std::uint64_t>(reply[0])};
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
    if (text.size() < 33 || (text[0] != '+' && text[0] != '-'))
        return std::nullopt;
    lock_message result{text[0] == '+', text.substr(1, 32)};
    text.remove_prefix(33);
    std::uint64_t age = 0;
    if (text.empty())
        return result;
    detail::next_word(text);
    if (!result.offered || !detail::read_number(detail::next_word(text), result.fence) ||
        !detail::read_number(text, age))
        return std::nullopt;
    result.after_last_sign = std::chrono::microseconds{age};
    return result;
}

WEIR_DECL std::optional<member> read_holder(std::string_view text) {
    member result;
    result.token = detail::next_word(text);
    std::uint64_t lasts = 0;
    if (!detail::read_number(detail::next_word(text), result.weight) ||
        !detail::read_number(detail::next_word(text), result.fence) ||
        !detail::read_number(detail::next_word(text), lasts))
        return std::nullopt;
    result.who = text;
    return result;
}

WEIR_DECL std::optional<member> read_waiter(std::string_view text) {
    member result;
    result.token = detail::next_word(text);
    std::uint64_t heartbeat = 0, lasts = 0;
    if (!detail::read_number(detail::next_word(text), result.weight) ||
        !detail::read_number(detail::next_word(text), heartbeat) ||
        !detail::read_number(detail::next_word(text), lasts))
        return std::nullopt;
    result.who = text;
    return result;
}

} // namespace weir::lock
