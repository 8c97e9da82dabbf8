#include "cli/log.hpp"

#include "cli/failure.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace {

using testing::HasSubstr;
using weir::cli::log;

/// What `write` leaves on standard error.
template <class Write>
std::string written(Write write) {
    testing::internal::CaptureStderr();
    write();
    return testing::internal::GetCapturedStderr();
}

TEST(cli_log, a_line_is_a_json_object_with_the_fields_beside_the_message) {
    log to(log::level::info, log::format::json);
    auto line = written([&] { to.write(log::level::warning, "odd \"\n\xff", {{"event", "x"}}); });
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
    auto object = nlohmann::json::parse(line);
    EXPECT_EQ(object["level"], "warning");
    EXPECT_EQ(object["event"], "x");
    EXPECT_EQ(object["message"], "odd \"\n\xEF\xBF\xBD") << "what is no UTF-8 is replaced";
    EXPECT_EQ(object["time"].get<std::string>().size(), std::string("2026-11-21T02:00:00.000Z").size());
}

TEST(cli_log, a_repeated_message_is_held_back_and_others_are_not) {
    log to(log::level::info, log::format::text);
    auto text = written([&] {
        for (int i = 0; i < 1000; ++i)
            to.write(log::level::error, "Redis is away");
        to.write(log::level::info, "Redis is away");
        to.write(log::level::error, "something else");
    });
    EXPECT_EQ(text, "error: Redis is away\ninfo: Redis is away\nerror: something else\n");
}

TEST(cli_log, messages_below_the_level_are_left_out) {
    log to(log::level::warning, log::format::text);
    EXPECT_EQ(written([&] { to.write(log::level::info, "quiet"); }), "");
}

TEST(cli_log, unknown_levels_and_formats_are_usage_errors) {
    EXPECT_EQ(weir::cli::parse_log_level("debug"), log::level::debug);
    EXPECT_EQ(weir::cli::parse_log_format("json"), log::format::json);
    EXPECT_THROW(weir::cli::parse_log_level("loud"), weir::cli::failure);
    EXPECT_THROW(weir::cli::parse_log_format("xml"), weir::cli::failure);
}

} // namespace
