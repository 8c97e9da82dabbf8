#include "support/tokens.hpp"

#include <weir/http/jwt.hpp>

#include <gmock/gmock.h>

// Tokens of RFC 7515 appendix A, and what attackers make of them.

namespace weir::http {
namespace {

using std::chrono::sys_seconds;
using test::base64url;
using test::hs256_token;
using test::secret_set;

constexpr char secret[] = "0123456789abcdef0123456789abcdef";
constexpr sys_seconds issued_at{std::chrono::seconds{1'700'000'000}};

constexpr char rfc_payload[] =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
constexpr char rfc_modulus[] =
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-"
    "pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca"
    "pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54"
    "h4FRWyuXpoQ";
constexpr char rfc_rsa_signature[] =
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr"
    "7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x"
    "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypG"
    "lUPQGe77Rw";
constexpr char rfc_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
constexpr char rfc_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
constexpr char rfc_secret[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
constexpr sys_seconds rfc_end{std::chrono::seconds{1'300'819'380}};

std::string rsa_key(std::string const& more = "") {
    return R"({"kty":"RSA","e":"AQAB","n":")" + std::string(rfc_modulus) + '"' + more + '}';
}
std::string ec_key(std::string const& more = "") {
    return R"({"kty":"EC","crv":"P-256","x":")" + std::string(rfc_x) + R"(","y":")" + rfc_y + '"' + more + '}';
}
std::string set_of(std::string const& keys) { return R"({"keys":[)" + keys + "]}"; }

jwt_rules by(std::string claim) {
    jwt_rules rules;
    rules.user = std::move(claim);
    return rules;
}

jwt_refusal said_of(std::string const& token, std::string const& set = secret_set(secret), jwt_rules rules = {},
                    sys_seconds at = issued_at) {
    verified_identity who;
    auto const said = jwt_verifier(jwk_set(set), std::move(rules)).verify(token, at, who);
    EXPECT_EQ(who.user.empty(), said != jwt_refusal::none);
    return said;
}

std::string claims(std::string const& more = "", std::string const& user = "alice") {
    return R"({"sub":")" + user + R"(","exp":1700000100)" + more + '}';
}

TEST(http_jwt, the_tokens_of_rfc_7515_are_good_until_they_expire) {
    auto const end = std::string(".") + rfc_payload + '.';
    struct sample {
        std::string set, token;
    };
    for (auto const& [set, token] :
         {sample{R"({"keys":[{"kty":"oct","k":")" + std::string(rfc_secret) + "\"}]}",
                 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + end + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
          sample{set_of(rsa_key()), "eyJhbGciOiJSUzI1NiJ9" + end + rfc_rsa_signature},
          sample{set_of(ec_key()), "eyJhbGciOiJFUzI1NiJ9" + end +
                                       "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
                                       "Kg6NU1Q"}}) {
        jwt_verifier const verifier(jwk_set(set), by("iss"));
        verified_identity who;
        EXPECT_EQ(verifier.verify(token, rfc_end, who), jwt_refusal::none);
        EXPECT_EQ(who.user, "joe");
        EXPECT_EQ(who.expires, rfc_end + std::chrono::seconds{30});
        EXPECT_EQ(verifier.verify(token, rfc_end + std::chrono::seconds{29}, who), jwt_refusal::none);
        EXPECT_EQ(verifier.verify(token, rfc_end + std::chrono::seconds{30}, who), jwt_refusal::expired);
        auto other = token;
        other[other.size() - 10] = other[other.size() - 10] == 'A' ? 'B' : 'A';
        EXPECT_EQ(verifier.verify(other, rfc_end, who), jwt_refusal::signature);
        other = token;
        auto& digit = other[other.find('.') + 12]; // of the issuer's name
        digit = digit == 'A' ? 'B' : 'A';
        EXPECT_EQ(verifier.verify(other, rfc_end, who), jwt_refusal::signature);
    }
}

TEST(http_jwt, none_and_every_algorithm_that_is_not_named_here_is_refused) {
    for (auto const* alg :
         {"none", "None", "NONE", "nOnE", "", "HS384", "RS512", "PS256", "ES384", "EdDSA", "hs256", "HS256 ", "dir"})
        EXPECT_EQ(said_of(hs256_token(secret, claims(), R"({"alg":")" + std::string(alg) + "\"}")),
                  jwt_refusal::algorithm)
            << alg;
    for (auto const* header : {R"({})", R"({"alg":null})", R"({"alg":256})", R"({"alg":["HS256"]})"})
        EXPECT_EQ(said_of(hs256_token(secret, claims(), header)), jwt_refusal::algorithm) << header;
    auto const unsigned_token = base64url(R"({"alg":"none"})") + '.' + base64url(claims()) + '.';
    EXPECT_EQ(said_of(unsigned_token), jwt_refusal::algorithm);
    auto const emptied = base64url(R"({"alg":"HS256"})") + '.' + base64url(claims()) + '.';
    EXPECT_EQ(said_of(emptied), jwt_refusal::signature);
}

TEST(http_jwt, a_public_key_is_nobodys_secret) {
    std::string const modulus = rfc_modulus;
    // As an attacker signs who knows the public key in any of its forms.
    for (auto const& known : {modulus, rsa_key(), set_of(rsa_key()), std::string()}) {
        auto const forged = hs256_token(known, claims());
        EXPECT_EQ(said_of(forged, set_of(rsa_key())), jwt_refusal::unknown_key);
        EXPECT_EQ(said_of(forged, set_of(rsa_key() + ',' + ec_key())), jwt_refusal::unknown_key);
        auto const named = hs256_token(known, claims(), R"({"alg":"HS256","kid":"a"})");
        EXPECT_EQ(said_of(named, set_of(rsa_key(R"(,"kid":"a")"))), jwt_refusal::unknown_key);
    }
    // The other way round: a secret verifies no RS256, a point no RS256.
    auto const other = base64url(R"({"alg":"RS256"})") + '.' + base64url(claims()) + '.' + rfc_rsa_signature;
    EXPECT_EQ(said_of(other), jwt_refusal::unknown_key);
    EXPECT_EQ(said_of(other, set_of(ec_key())), jwt_refusal::unknown_key);
    EXPECT_EQ(said_of(other, set_of(rsa_key())), jwt_refusal::signature);
}

TEST(http_jwt, a_key_in_the_token_itself_is_never_looked_at) {
    std::string const mine = "fedcba9876543210fedcba9876543210";
    for (auto const& header :
         {R"({"alg":"HS256","jwk":{"kty":"oct","k":")" + base64url(mine) + "\"}}",
          std::string(R"({"alg":"HS256","jku":"http://127.0.0.1/jwks.json"})"),
          std::string(R"({"alg":"HS256","x5c":["MIIB"]})"), std::string(R"({"alg":"HS256","kid":"../../dev/null"})")})
        EXPECT_NE(said_of(hs256_token(mine, claims(), header)), jwt_refusal::none) << header;
    EXPECT_EQ(said_of(hs256_token("", claims(), R"({"alg":"HS256","kid":"/dev/null"})")), jwt_refusal::unknown_key);
}

TEST(http_jwt, the_kid_chooses_the_key_and_a_wrong_one_chooses_none) {
    std::string const other = "fedcba9876543210fedcba9876543210";
    auto const both = set_of(R"({"kty":"oct","kid":"a","k":")" + base64url(secret) +
                             R"("},{"kty":"oct","kid":"b","k":")" + base64url(other) + "\"}");
    auto const named = [&](char const* kid, std::string const& key) {
        return said_of(hs256_token(key, claims(), R"({"alg":"HS256","kid":")" + std::string(kid) + "\"}"), both);
    };
    EXPECT_EQ(named("a", secret), jwt_refusal::none);
    EXPECT_EQ(named("b", other), jwt_refusal::none);
    EXPECT_EQ(named("b", secret), jwt_refusal::signature);
    EXPECT_EQ(named("c", secret), jwt_refusal::unknown_key);
    EXPECT_EQ(named("", secret), jwt_refusal::unknown_key);
    EXPECT_EQ(said_of(hs256_token(secret, claims()), both), jwt_refusal::unknown_key) << "which of the two?";
    EXPECT_EQ(said_of(hs256_token(secret, claims(), R"({"alg":"HS256","kid":7})"), both), jwt_refusal::malformed);
}

TEST(http_jwt, every_token_must_expire_and_times_are_taken_with_leeway) {
    auto const at = [](std::string const& dates) {
        return said_of(hs256_token(secret, R"({"sub":"alice")" + dates + '}'));
    };
    EXPECT_EQ(at(""), jwt_refusal::expired) << "one without an end would be good for ever";
    EXPECT_EQ(at(R"(,"exp":1699999971)"), jwt_refusal::none);
    EXPECT_EQ(at(R"(,"exp":1699999970)"), jwt_refusal::expired);
    EXPECT_EQ(at(R"(,"exp":1699999970.5)"), jwt_refusal::none);
    EXPECT_EQ(at(R"(,"exp":-1)"), jwt_refusal::expired);
    EXPECT_EQ(at(R"(,"exp":1700000100,"nbf":1700000030)"), jwt_refusal::none);
    EXPECT_EQ(at(R"(,"exp":1700000100,"nbf":1700000031)"), jwt_refusal::not_yet_valid);
    for (auto const* bad : {R"("1700000100")", "null", "true", "[]", "1e300", "1e999", "18446744073709551616"})
        EXPECT_NE(at(R"(,"exp":)" + std::string(bad)), jwt_refusal::none) << bad;
    EXPECT_EQ(at(R"(,"exp":1700000100,"nbf":"yesterday")"), jwt_refusal::malformed);
}

TEST(http_jwt, issuer_and_audience_must_be_ours) {
    jwt_rules rules;
    rules.issuers = {"https://a.example", "https://b.example"};
    rules.audiences = {"api"};
    auto const with = [&](std::string const& more) {
        return said_of(hs256_token(secret, claims(more)), secret_set(secret), rules);
    };
    EXPECT_EQ(with(R"(,"iss":"https://b.example","aud":"api")"), jwt_refusal::none);
    EXPECT_EQ(with(R"(,"iss":"https://b.example","aud":["other","api"])"), jwt_refusal::none);
    EXPECT_EQ(with(R"(,"iss":"https://b.example/","aud":"api")"), jwt_refusal::issuer);
    EXPECT_EQ(with(R"(,"iss":["https://b.example"],"aud":"api")"), jwt_refusal::issuer);
    EXPECT_EQ(with(R"(,"aud":"api")"), jwt_refusal::issuer);
    EXPECT_EQ(with(R"(,"iss":"https://a.example")"), jwt_refusal::audience);
    EXPECT_EQ(with(R"(,"iss":"https://a.example","aud":[])"), jwt_refusal::audience);
    EXPECT_EQ(with(R"(,"iss":"https://a.example","aud":{"api":1})"), jwt_refusal::audience);
    EXPECT_EQ(with(R"(,"iss":"https://a.example","aud":["API"])"), jwt_refusal::audience);
    EXPECT_EQ(said_of(hs256_token(secret, claims(R"(,"aud":"elsewhere")"))), jwt_refusal::audience)
        << "RFC 7519 4.1.3: whoever names an audience must name ours";
}

TEST(http_jwt, a_user_is_a_text_without_control_characters) {
    auto const named = [](std::string const& user) { return said_of(hs256_token(secret, claims("", user))); };
    EXPECT_EQ(named("alice@example.org"), jwt_refusal::none);
    EXPECT_EQ(named("J\u00fcrgen"), jwt_refusal::none);
    EXPECT_EQ(named(std::string(256, 'a')), jwt_refusal::none);
    EXPECT_EQ(named(std::string(257, 'a')), jwt_refusal::no_user);
    EXPECT_EQ(named(""), jwt_refusal::no_user);
    EXPECT_EQ(named("a\\nb"), jwt_refusal::no_user) << "two parts of a key are joined by it";
    EXPECT_EQ(named("a\\u0000b"), jwt_refusal::no_user);
    EXPECT_EQ(said_of(hs256_token(secret, R"({"sub":7,"exp":1700000100})")), jwt_refusal::no_user);
    EXPECT_EQ(said_of(hs256_token(secret, R"({"exp":1700000100})")), jwt_refusal::no_user);
    EXPECT_EQ(said_of(hs256_token(secret, claims()), secret_set(secret), by("email")), jwt_refusal::no_user);
}

TEST(http_jwt, claims_become_attributes_where_they_are_texts) {
    jwt_rules rules;
    rules.attributes = {"team", "plan", "admin"};
    verified_identity who;
    jwt_verifier const verifier(jwk_set(secret_set(secret)), rules);
    ASSERT_EQ(verifier.verify(hs256_token(secret, claims(R"(,"team":"red","plan":7,"other":"x")")), issued_at, who),
              jwt_refusal::none);
    EXPECT_EQ(who.attribute("team"), "red");
    EXPECT_EQ(who.attribute("plan"), "");
    EXPECT_EQ(who.attributes.size(), 1u);
}

TEST(http_jwt, what_is_spelled_twice_or_otherwise_is_malformed) {
    auto const good = hs256_token(secret, claims());
    ASSERT_EQ(said_of(good), jwt_refusal::none);
    auto const first = good.find('.'), second = good.rfind('.');
    for (auto const& bad : {std::string(), std::string("."), std::string(".."), std::string("..."), good + '.',
                            '.' + good, good + "=", good.substr(0, second), good.substr(0, first), good + "A",
                            "A" + good, good + " ", good.substr(0, first) + "=" + good.substr(first),
                            good.substr(0, second) + "." + good.substr(second), '!' + good.substr(1)})
        EXPECT_NE(said_of(bad), jwt_refusal::none) << bad;
    // The last digit of 32 bytes carries 2 bits beyond them: another spelling of the same signature.
    auto spelled = good;
    auto const last = std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    spelled.back() = last[last.find(spelled.back()) + 1];
    EXPECT_EQ(said_of(spelled), jwt_refusal::malformed);

    EXPECT_EQ(said_of(hs256_token(secret, R"({"sub":"bob","sub":"alice","exp":1700000100})")), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims(R"(,"a":{"b":1,"b":2})"))), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims(), R"({"alg":"none","alg":"HS256"})")), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, "[]")), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims() + " x")), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims(",\"a\":\"\xff\""))), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims(R"(,"a":1e308)"))), jwt_refusal::none);
    EXPECT_EQ(said_of(hs256_token(secret, claims(R"(,"a":1e999)"))), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims(R"(,"a":[-1e999])"))), jwt_refusal::malformed);
    EXPECT_EQ(said_of(hs256_token(secret, claims(",\"a\":" + std::string(100, '[') + std::string(100, ']')))),
              jwt_refusal::malformed);
}

TEST(http_jwt, headers_that_demand_what_nobody_understands_are_refused) {
    auto const with = [](char const* header) { return said_of(hs256_token(secret, claims(), header)); };
    EXPECT_EQ(with(R"({"alg":"HS256","crit":["b64"],"b64":false})"), jwt_refusal::unsupported);
    EXPECT_EQ(with(R"({"alg":"HS256","crit":[]})"), jwt_refusal::unsupported);
    EXPECT_EQ(with(R"({"alg":"HS256","typ":"logout+jwt"})"), jwt_refusal::unsupported);
    EXPECT_EQ(with(R"({"alg":"HS256","typ":1})"), jwt_refusal::unsupported);
    EXPECT_EQ(with(R"({"alg":"HS256","typ":"application/at+JWT"})"), jwt_refusal::none);
    EXPECT_EQ(with(R"({"alg":"HS256","typ":"jwt","extra":{}})"), jwt_refusal::none);
}

TEST(http_jwt, a_huge_token_is_refused_before_it_is_read) {
    EXPECT_EQ(said_of(std::string(1 << 20, 'A')), jwt_refusal::too_long);
    EXPECT_EQ(said_of(hs256_token(secret, claims(",\"a\":\"" + std::string(5000, 'a') + '"'))), jwt_refusal::none);
    EXPECT_EQ(said_of(hs256_token(secret, claims(",\"a\":\"" + std::string(7000, 'a') + '"'))), jwt_refusal::too_long);
    EXPECT_EQ(said_of(std::string(max_jwt, '.')), jwt_refusal::malformed);
}

std::string objection_to(std::string const& set) {
    try {
        jwk_set const made(set);
        return std::to_string(made.size());
    } catch (std::invalid_argument const& e) {
        return e.what();
    }
}

TEST(http_jwk_set, takes_what_it_can_use_and_passes_over_the_rest) {
    EXPECT_EQ(objection_to(
                  set_of(rsa_key() + ',' + ec_key() + R"(,{"kty":"OKP","crv":"Ed25519"},{"kty":"EC","crv":"P-384"})")),
              "2");
    EXPECT_EQ(objection_to(set_of(rsa_key(R"(,"use":"sig","alg":"RS256","key_ops":["verify"],"kid":"1","x5c":["a"])"))),
              "1");
    for (auto const* more : {R"(,"use":"enc")", R"(,"alg":"RS512")", R"(,"key_ops":["encrypt"])", R"(,"alg":7)"})
        EXPECT_EQ(objection_to(set_of(rsa_key(more))), "holds no key for RS256, ES256 or HS256") << more;
    EXPECT_EQ(objection_to(set_of(rsa_key(R"(,"kid":"a")") + ',' + ec_key(R"(,"kid":"a")"))), "2");
}

TEST(http_jwk_set, says_which_key_is_wrong_and_why) {
    using testing::HasSubstr;
    EXPECT_THAT(objection_to(""), HasSubstr("is no JSON object"));
    EXPECT_THAT(objection_to("{}"), HasSubstr("is no JWK set"));
    EXPECT_THAT(objection_to(set_of("")), HasSubstr("holds no key"));
    EXPECT_THAT(objection_to(set_of("7")), HasSubstr("/keys/0: must be an object"));
    EXPECT_THAT(objection_to(set_of(rsa_key() + ',' + rsa_key())), HasSubstr("/keys/1: without a kid"));
    EXPECT_THAT(objection_to(set_of(rsa_key(R"(,"kid":"a")") + ',' + rsa_key(R"(,"kid":"a")"))),
                HasSubstr("/keys/1: \"a\" is the kid of another key"));
    EXPECT_THAT(objection_to(set_of(R"({"kty":"oct","k":"c2hvcnQ"})")), HasSubstr("256 bits at least"));
    EXPECT_THAT(objection_to(set_of(R"({"kty":"oct","k":"not/base64url"})")), HasSubstr("\"k\" must be base64url"));
    EXPECT_THAT(objection_to(set_of(R"({"kty":"RSA","e":"AQAB","n":"AQAB"})")), HasSubstr("2048 to 8192 bits"));
    auto even = rsa_key();
    even.replace(even.find("AQAB"), 4, "AQAA");
    EXPECT_THAT(objection_to(set_of(even)), HasSubstr("is no valid RSA key"));
    auto off = ec_key();
    off.replace(off.find("x_FE"), 4, "x_FF");
    EXPECT_THAT(objection_to(set_of(off)), HasSubstr("no point of P-256"));
    EXPECT_THAT(objection_to(set_of(R"({"kty":"EC","crv":"P-256","x":"AQAB","y":"AQAB"})")),
                HasSubstr("32 bytes each"));
}

} // namespace
} // namespace weir::http
