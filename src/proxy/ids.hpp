#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

namespace weir::proxy {

/// Makes request and trace ids: unique, not secret. Thread safety: distinct objects: safe; shared objects: unsafe.
class id_source {
public:
    id_source() {
        std::random_device seed;
        for (auto& word : state_)
            word = (std::uint64_t{seed()} << 32) | seed();
    }

    std::uint64_t random() noexcept { return next(); }

    /// Random hexadecimal digits, not all of them zero (as W3C Trace Context demands).
    template <std::size_t Digits>
    std::array<char, Digits> make() noexcept {
        static_assert(Digits == 16 || Digits == 32);
        std::array<char, Digits> text;
        for (std::size_t i = 0; i < Digits; i += 16)
            write_word(text.data() + i, next() | 1);
        return text;
    }

    /// Appends a request id: 32 such digits.
    void append(std::string& out) {
        auto const made = make<32>();
        out.append(made.data(), made.size());
    }

private:
    /// xoshiro256++ (Blackman, Vigna 2019).
    std::uint64_t next() noexcept {
        auto const result = rotl(state_[0] + state_[3], 23) + state_[0];
        auto const t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = rotl(state_[3], 45);
        return result;
    }

    static std::uint64_t rotl(std::uint64_t x, int k) noexcept { return (x << k) | (x >> (64 - k)); }

    /// All 16 digits of a word, in any order; eight a step.
    static void write_word(char* to, std::uint64_t word) noexcept {
        constexpr std::uint64_t ones = 0x0101010101010101U;
        for (auto nibbles : {word & (ones * 0x0f), (word >> 4) & (ones * 0x0f)}) {
            auto const letters = ((nibbles + ones * 6) >> 4) & ones;
            auto const text = nibbles + ones * '0' + letters * ('a' - '0' - 10);
            std::memcpy(to, &text, 8);
            to += 8;
        }
    }

    std::array<std::uint64_t, 4> state_{};
};

/// Whether a request id from outside may be passed on and logged: 1 to 128 of `A-Z a-z 0-9 - _ . : / + = @ ~`.
bool is_sane_request_id(std::string_view id) noexcept;

/// Whether a `traceparent` from outside is one (W3C Trace Context 3.2: `00-<32 hex>-<16 hex>-<2 hex>`, neither id
/// zero).
bool is_valid_traceparent(std::string_view value) noexcept;

} // namespace weir::proxy
