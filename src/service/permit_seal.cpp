#include "service/permit_seal.hpp"

#include <weir/detail/hex.hpp>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <array>
#include <charconv>
#include <new>
#include <span>

namespace weir::service {
namespace {

/// The version of the text, and what nothing else that is sealed with the secret begins with.
constexpr std::string_view kind = "c1";
/// Of the seal, in bytes: half of SHA-256.
constexpr std::size_t seal_bytes = 16;
constexpr std::size_t parts = 8;

void append_part(std::string& to, std::uint64_t value) {
    std::array<char, 16> digits;
    auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    (to += '.').append(digits.data(), end);
}

bool read_part(std::string_view& from, std::uint64_t& into) {
    if (!from.starts_with('.'))
        return false;
    auto const* const begin = from.data() + 1;
    auto const [end, ec] = std::from_chars(begin, from.data() + from.size(), into, 16);
    from.remove_prefix(static_cast<std::size_t>(end - from.data()));
    return ec == std::errc{};
}

} // namespace

/// HMAC-SHA256 (RFC 2104) of the circuit and the text.
void permit_seal::append_seal(std::string& to, std::string_view of) const {
    std::string sealed;
    sealed.append(kind).append(1, '\n').append(circuit_).append(1, '\n').append(of);
    std::array<unsigned char, EVP_MAX_MD_SIZE> code;
    unsigned size = 0;
    if (HMAC(EVP_sha256(), secret_.empty() ? "" : secret_.data(), static_cast<int>(secret_.size()),
             reinterpret_cast<unsigned char const*>(sealed.data()), sealed.size(), code.data(), &size) == nullptr)
        throw std::bad_alloc(); // the only way in which it fails
    to += '.';
    weir::detail::append_hex(to, std::span(code).first(seal_bytes));
}

std::string permit_seal::write(issued_permit const& what) const {
    auto const& leave = what.leave;
    std::string text(kind);
    append_part(text, leave.origin);
    append_part(text, leave.generation);
    append_part(text, leave.lease);
    append_part(text, leave.epoch);
    append_part(text, static_cast<std::uint64_t>(leave.granted_in));
    append_part(text, leave.fleet ? 1 : 0);
    append_part(text, what.number);
    append_part(text, static_cast<std::uint64_t>(what.at.count()));
    std::string seal;
    append_seal(seal, text);
    return text + seal;
}

std::optional<issued_permit> permit_seal::read(std::string_view text) const {
    constexpr std::size_t seal_size = 1 + 2 * seal_bytes;
    if (text.size() < seal_size || !text.starts_with(kind))
        return std::nullopt;
    auto const said = text.substr(text.size() - seal_size);
    text.remove_suffix(seal_size);
    std::string seal;
    append_seal(seal, text);
    if (CRYPTO_memcmp(seal.data(), said.data(), seal_size) != 0)
        return std::nullopt;
    text.remove_prefix(kind.size());
    std::array<std::uint64_t, parts> all;
    for (auto& each : all)
        if (!read_part(text, each))
            return std::nullopt;
    auto const [origin, generation, lease, epoch, granted_in, fleet, number, at] = all;
    if (!text.empty() || generation == 0 || granted_in >= circuit::state_count || fleet > 1)
        return std::nullopt;
    return issued_permit{{origin, generation, lease, epoch, static_cast<circuit::state>(granted_in), fleet == 1},
                         number,
                         std::chrono::microseconds{static_cast<std::int64_t>(at)}};
}

} // namespace weir::service
