#include <weir/rate_limit/outage_gate.hpp>

#include <gtest/gtest.h>

namespace {

using weir::errc;
using weir::outage_gate;

TEST(outage_gate, one_timeout_is_forgiven_and_two_in_a_row_open_it) {
    outage_gate gate;
    EXPECT_FALSE(gate.on_failure(errc::timed_out));
    EXPECT_FALSE(gate.open());
    gate.on_success();
    EXPECT_FALSE(gate.on_failure(errc::timed_out));
    EXPECT_TRUE(gate.on_failure(errc::timed_out_unsent));
    EXPECT_TRUE(gate.open());
    EXPECT_EQ(gate.reason(), errc::timed_out_unsent);
}

TEST(outage_gate, a_lost_connection_opens_it_at_once_and_tells_so_once) {
    outage_gate gate;
    EXPECT_TRUE(gate.on_failure(errc::connection_lost));
    EXPECT_FALSE(gate.on_failure(errc::not_connected));
    EXPECT_TRUE(gate.open());
    EXPECT_EQ(gate.reason(), errc::not_connected);
    gate.on_success();
    EXPECT_FALSE(gate.open());
    EXPECT_FALSE(gate.reason());
}

TEST(outage_gate, errors_of_one_key_or_of_the_caller_never_open_it) {
    for (auto const harmless : {errc::wrong_type, errc::unexpected_reply, errc::server_error, errc::queue_full,
                                errc::cancelled, errc::cancelled_unsent, errc::invalid_argument}) {
        outage_gate gate;
        for (int i = 0; i < 10; ++i)
            EXPECT_FALSE(gate.on_failure(harmless)) << to_string(harmless);
        EXPECT_FALSE(gate.open()) << to_string(harmless);
    }
}

TEST(outage_gate, a_server_that_refuses_every_script_opens_it) {
    for (auto const refusal : {errc::no_auth, errc::wrong_password, errc::no_permission, errc::out_of_memory,
                               errc::read_only, errc::loading, errc::busy, errc::disk_error, errc::max_clients}) {
        outage_gate gate;
        EXPECT_TRUE(gate.on_failure(refusal)) << to_string(refusal);
    }
}

} // namespace
