#pragma once

#include <array>
#include <cstdint>
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

    /// Appends `digits` random hexadecimal digits, not all of them zero (as W3C Trace Context demands).
    void append(std::string& out, std::size_t digits) {
        for (; digits > 16; digits -= 16)
            append_word(out, next(), 16);
        append_word(out, next() | 1, digits);
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

    static void append_word(std::string& out, std::uint64_t word, std::size_t digits) {
        std::array<char, 16> text{};
        for (std::size_t i = digits; i-- > 0; word >>= 4)
            text[i] = "0123456789abcdef"[word & 15];
        out.append(text.data(), digits);
    }

    std::array<std::uint64_t, 4> state_{};
};

/// Whether a request id from outside may be passed on and logged: 1 to 128 of `A-Z a-z 0-9 - _ . : / + = @ ~`.
bool is_sane_request_id(std::string_view id) noexcept;

/// Whether a `traceparent` from outside is one (W3C Trace Context 3.2: `00-<32 hex>-<16 hex>-<2 hex>`, neither id
/// zero).
bool is_valid_traceparent(std::string_view value) noexcept;

} // namespace weir::proxy
