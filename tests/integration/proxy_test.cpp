#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <gtest/gtest.h>

namespace weir::test {
namespace {

TEST(Proxy, PassesARequestUpAndTheAnswerDown) {
    upstream up(upstream::echo());
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    auto const answer = client.get("/a/b?c=%20d", "X-Custom: one\r\n");
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_THAT(answer.body, testing::StartsWith("GET /a/b?c=%20d HTTP/1.1\r\nHost: weir.test\r\n"));
    EXPECT_THAT(answer.body, testing::HasSubstr("\r\nX-Custom: one\r\n"));
    EXPECT_EQ(answer.field("Via"), "1.1 weir");
}

TEST(Proxy, KeepsConnectionsOnBothSides) {
    upstream up(upstream::always("hello"));
    running_proxy const proxy(proxy_config(up.port()));
    auto client = proxy.connect();
    for (int i = 0; i < 100; ++i) {
        auto const answer = client.get("/");
        ASSERT_EQ(answer.status, 200);
        ASSERT_EQ(answer.body, "hello");
        ASSERT_FALSE(answer.close);
    }
    EXPECT_EQ(up.accepted(), 1U);
}

} // namespace
} // namespace weir::test
