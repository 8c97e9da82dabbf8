// Tokens of any bytes: none is believed that the key did not sign. Half of the inputs are signed here, so that what
// stands behind the signature is reached too; what is then believed is compared with nlohmann-json's reading.
#include "support/tokens.hpp"

#include <weir/http/api_keys.hpp>
#include <weir/http/jwt.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

using namespace weir::http;

void require(bool holds) {
    if (!holds)
        std::abort();
}

constexpr std::string_view secret = "0123456789abcdef0123456789abcdef";
constexpr std::chrono::sys_seconds now{std::chrono::seconds{1'700'000'000}};

jwt_verifier const& verifier() {
    static jwt_verifier const made(jwk_set(weir::test::secret_set(secret)), [] {
        jwt_rules rules;
        rules.audiences = {"api"};
        rules.attributes = {"team"};
        return rules;
    }());
    return made;
}

void try_signed(std::string_view header, std::string_view payload) {
    verified_identity who;
    if (verifier().verify(weir::test::hs256_token(secret, payload, header), now, who) != jwt_refusal::none)
        return;
    auto const head = nlohmann::json::parse(header, nullptr, false);
    auto const claims = nlohmann::json::parse(payload, nullptr, false);
    require(head.is_object() && head.at("alg") == "HS256" && !head.contains("crit"));
    require(claims.is_object() && claims.at("sub") == who.user && is_identity_text(who.user));
    require(claims.at("exp").get<double>() + 30 > 1'700'000'000);
    require(claims.at("aud") == "api" || claims.at("aud").is_array());
}

template <class Reader>
void try_file(std::string_view text) {
    try {
        Reader const made(text);
    } catch (std::invalid_argument const&) {
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const input(reinterpret_cast<char const*>(data), size);
    verified_identity who;
    // Nobody has signed it: an input of 43 right digits is not to be found.
    require(verifier().verify(input, now, who) != jwt_refusal::none);
    auto const cut = input.find('\n');
    if (cut != input.npos)
        try_signed(input.substr(0, cut), input.substr(cut + 1));
    try_signed(R"({"alg":"HS256"})", input);
    try_file<api_keys>(input);
    try_file<jwk_set>(input);
    return 0;
}
