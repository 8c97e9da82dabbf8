#include "config/load.hpp"
#include "config/show.hpp"

#include "support/config_complaints.hpp"

#include <gmock/gmock.h>

// What routes say of requests that share an answer.

namespace {

using namespace weir::config;
using testing::ElementsAre;
using testing::HasSubstr;
using weir::test::complaints;

std::string with_route(std::string const& fields) {
    return R"({"listen":[{"address":"127.0.0.1:0"}],"upstreams":{"u":{"targets":["http://a"]}},
              "routes":[{"name":"r","path":"/*","upstream":"u",)" +
           fields + "}]}";
}

void expect_shown_again(config const& value) {
    auto const shown = show(value);
    auto const again = load_text(shown.dump());
    ASSERT_TRUE(again.value) << to_string(again.issues.at(0), "shown");
    EXPECT_EQ(show(*again.value), shown);
}

TEST(config_sharing, idempotency_is_read_and_shown_again) {
    auto const loaded = load_text(with_route(
        R"("idempotency":{"required":true,"keep":"48h","max_answer":"8KiB","fields":["X-Order-Id"],"on_redis_failure":"open"})"));
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto const& how = loaded.value->routes.at(0).idempotency.value();
    EXPECT_TRUE(how.required);
    EXPECT_EQ(how.keep, std::chrono::hours{48});
    EXPECT_EQ(how.max_answer, 8192u);
    EXPECT_THAT(how.fields, ElementsAre("x-order-id"));
    EXPECT_TRUE(how.pass_without_redis);
    EXPECT_TRUE(loaded.value->needs_redis());
    expect_shown_again(*loaded.value);

    auto const plain = load_text(with_route(R"("idempotency":{})"));
    ASSERT_TRUE(plain.value);
    EXPECT_FALSE(plain.value->routes.at(0).idempotency->required);
    EXPECT_EQ(plain.value->routes.at(0).idempotency->keep, std::chrono::hours{24});
    EXPECT_FALSE(plain.value->routes.at(0).idempotency->pass_without_redis);
}

TEST(config_sharing, idempotency_that_makes_no_sense_is_an_error) {
    EXPECT_THAT(complaints(with_route(R"("idempotency":true)")),
                ElementsAre("/routes/0/idempotency: must be an object, not a boolean"));
    EXPECT_THAT(
        complaints(with_route(R"("idempotency":{"keep":"1ms","max_answer":"2MiB"})")),
        ElementsAre(HasSubstr("/routes/0/idempotency/keep: "), HasSubstr("/routes/0/idempotency/max_answer: ")));
    EXPECT_THAT(complaints(with_route(R"("idempotency":{"fields":["Set-Cookie"]})")),
                ElementsAre(HasSubstr(R"(/routes/0/idempotency/fields: "set-cookie" is of one answer alone)")));
    EXPECT_THAT(complaints(with_route(R"("idempotency":{"fields":["a","A"]})")),
                ElementsAre("/routes/0/idempotency/fields/1: is there already"));
    EXPECT_THAT(complaints(with_route(R"("idempotency":{"on_redis_failure":"local"})")),
                ElementsAre(HasSubstr(R"(/routes/0/idempotency/on_redis_failure: unknown value "local")")));
    EXPECT_THAT(complaints(with_route(R"("idempotency":{},"methods":["GET"])")),
                ElementsAre(HasSubstr("/routes/0/idempotency: is for POST and PATCH")));
}

TEST(config_sharing, single_flight_is_read_and_shown_again) {
    auto const loaded = load_text(with_route(
        R"("single_flight":{"vary":["Accept","X-Feature"],"between_users":true,"wait":"5s","max_answer":"1MiB"})"));
    ASSERT_TRUE(loaded.value) << to_string(loaded.issues.at(0), "f");
    auto const& how = loaded.value->routes.at(0).single_flight.value();
    EXPECT_THAT(how.vary, ElementsAre("accept", "x-feature"));
    EXPECT_TRUE(how.between_users);
    EXPECT_EQ(how.wait, std::chrono::seconds{5});
    EXPECT_EQ(how.max_answer, 1u << 20);
    EXPECT_TRUE(loaded.value->needs_redis());
    expect_shown_again(*loaded.value);
    EXPECT_THAT(load_text(with_route(R"("single_flight":{})")).value->routes.at(0).single_flight->vary,
                ElementsAre("accept", "accept-encoding", "accept-language"));
}

TEST(config_sharing, single_flight_that_makes_no_sense_is_an_error) {
    EXPECT_THAT(complaints(with_route(R"("single_flight":{},"methods":["POST"])")),
                ElementsAre(HasSubstr("/routes/0/single_flight: is for GET and HEAD")));
    EXPECT_THAT(
        complaints(with_route(R"("single_flight":{"vary":["a b"],"wait":"0s"})")),
        ElementsAre(HasSubstr("/routes/0/single_flight/vary/0: "), HasSubstr("/routes/0/single_flight/wait: ")));
}

} // namespace
