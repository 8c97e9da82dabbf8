#include "support/paths.hpp"
#include "support/program.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <weir/http/api_keys.hpp>

// `weir key`: what it prints is what the file of keys takes.

namespace weir::test {
namespace {

using nlohmann::json;

TEST(cli_key, a_new_key_and_its_entry_belong_together) {
    auto const made = run_program({"key", "new", "--user", "alice", "--json"});
    ASSERT_EQ(made.code, 0) << made.err;
    auto const said = json::parse(made.out);
    http::api_keys const keys(json{{"keys", {said.at("entry")}}}.dump());
    auto const* found = keys.find(said.at("key").get<std::string>(), {});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->user, "alice");

    auto const plain = run_program({"key", "new", "--user", "bob"});
    EXPECT_EQ(plain.code, 0);
    EXPECT_THAT(plain.out, testing::HasSubstr(R"("user":"bob")"));
    EXPECT_NE(plain.out.find("weir_"), plain.out.npos);
}

TEST(cli_key, a_user_that_cannot_be_one_is_refused) {
    auto const refused = run_program({"key", "new", "--user", "a\nb"});
    EXPECT_EQ(refused.code, 2);
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, testing::HasSubstr("--user: 1 to 256 bytes"));
}

TEST(cli_key, hashes_one_line_of_standard_input) {
    auto const hash = [](std::string const& input) {
        program shell("sh", {"-c", "printf '" + input + "' | " + program_path() + " key hash"});
        auto const code = shell.wait();
        return std::to_string(code) + ' ' + shell.out();
    };
    auto const abc = "0 " + http::hash_api_key("abc") + '\n';
    EXPECT_EQ(hash("abc"), abc);
    EXPECT_EQ(hash("abc\\n"), abc);
    EXPECT_EQ(hash("abc\\r\\nmore"), abc);
    EXPECT_EQ(hash(""), "2 ");
    EXPECT_EQ(hash("\\nabc"), "2 ");
}

} // namespace
} // namespace weir::test
