#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/check_script.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weir {

/// Several requests in one call of lua/rate_check.lua, decided one after the other: what a call costs is shared.
///
/// Reusable without allocation. Distinct objects: safe; shared objects: unsafe.
class check_batch {
public:
    /// The most requests, and the most integers of their replies together.
    static constexpr std::size_t max_requests = 32, max_numbers = 512;
    using reply_type = redis::int_sink<max_numbers>;

    void clear() noexcept {
        requests_.clear();
        keys_.clear();
        numbers_ = 0;
        shared_.by = 0;
    }
    std::size_t size() const noexcept { return requests_.size(); }

    /// Takes one more, which must stay as it is until the reply is read; false, and nothing is taken, where the batch
    /// is full. Precondition: its order is `decide`, and it is not decided by lists.
    WEIR_DECL bool add(check_request const& one);

    /// Writes the EVALSHA. Precondition: there are two requests at least.
    WEIR_DECL void encode(redis::command& out, redis::script const& code = rate_check_script());

    /// Takes from `left`, what is left of the reply, the part of the request: what `check_request::decode` reads, until
    /// the next call. Empty where it cannot be one. To be called once for each request, in the order added.
    WEIR_DECL std::span<std::int64_t const> take_reply(std::size_t index, std::span<std::int64_t const>& left);

private:
    struct member {
        check_request const* request;
        std::size_t rules;
        std::array<std::uint8_t, max_rules_per_check> key_numbers;
    };
    /// What requests of one rule, alike and answered alike, are told in turn.
    struct shared_answer {
        std::uint64_t by = 0; // so many more
        std::uint64_t step = 0;
        std::size_t size = 0;
        std::array<std::int64_t, 4> said{};

        void add_remaining(std::uint64_t units) noexcept { // from the network: may be anything
            auto& remaining = said[size == 1 ? 0 : 1];
            remaining = static_cast<std::int64_t>(static_cast<std::uint64_t>(remaining) + units);
        }
    };

    WEIR_DECL std::uint8_t number_of(std::string_view key);
    WEIR_DECL std::span<std::int64_t const> take_own(std::size_t index, std::span<std::int64_t const>& left) const;
    WEIR_DECL bool begin_shared(std::size_t index, std::span<std::int64_t const>& left);

    std::vector<member> requests_;
    std::vector<std::string_view> keys_;
    std::size_t numbers_ = 0;
    shared_answer shared_;
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/check_batch.ipp>
#endif
