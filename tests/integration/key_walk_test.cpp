#include "admin/key_walk.hpp"
#include "support/redis_cluster.hpp"
#include "support/redis_fixture.hpp"

#include <weir/redis/hash_slot.hpp>

#include <gmock/gmock.h>

#include <map>
#include <optional>
#include <set>

// Keys looked for over all servers that keep some.

namespace weir::test {
namespace {

using admin::key_walk;
using redis::client;
using namespace std::chrono_literals;

/// So many sorted sets begin with `begin`, whose hash tag decides on which node of a cluster they are.
void make_sets(redis_server& where, std::string const& begin, int count) {
    where.run({"EVAL", "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1] .. i, 1, 'x') end return 1", "1", begin,
               std::to_string(count)});
}

class keys_of_a_cluster : public testing::Test {
protected:
    static constexpr int per_master = 2500; // some pieces

    keys_of_a_cluster() {
        for (int i = 0; begins_.size() < all_.masters(); ++i) {
            auto begin = "walk:{" + std::to_string(i) + "}";
            if (auto const owner = all_.owner(redis::hash_slot(begin)); begins_.emplace(owner, begin).second)
                make_sets(all_.node(owner), begin, per_master);
        }
        auto options = patient_options(all_.url());
        options.server.topology = redis::topology::cluster;
        options.reconnect_max = 50ms;
        client_.emplace(io_, options);
    }

    std::size_t made() const { return per_master * begins_.size(); }

    /// The next piece, tried until there is one.
    asio::awaitable<void> take(key_walk& walk) {
        std::vector<std::string> piece;
        for (auto ec = co_await walk.next(piece); ec; ec = co_await walk.next(piece))
            co_await asio::post(io_, use_result);
        found_.insert(piece.begin(), piece.end());
    }
    asio::awaitable<void> take_rest(key_walk& walk) {
        while (!walk.ended())
            co_await take(walk);
    }

    redis_cluster all_{{.node_timeout = 2s}};
    std::map<std::size_t, std::string> begins_;
    asio::io_context io_;
    std::optional<client> client_;
    std::set<std::string> found_;
};

TEST_F(keys_of_a_cluster, are_found_on_all_masters_by_walks_that_go_on_where_the_one_before_was) {
    run(io_, [&]() -> asio::awaitable<void> {
        std::string cursor = "0";
        std::set<std::string> cursors;
        do {
            key_walk walk(*client_, "walk:", "zset");
            EXPECT_TRUE(walk.resume(cursor)) << cursor;
            co_await take(walk);
            cursor = walk.cursor();
            EXPECT_TRUE(cursors.insert(cursor).second) << cursor;
        } while (cursor != "0");
        EXPECT_EQ(found_.size(), made());
        EXPECT_GE(cursors.size(), 2 * all_.masters());
        key_walk others(*client_, "walk*", "zset"), strings(*client_, "walk:", "string");
        found_.clear();
        co_await take_rest(others);
        co_await take_rest(strings);
        EXPECT_THAT(found_, testing::IsEmpty()) << "a star is a star";
    });
}

TEST_F(keys_of_a_cluster, are_found_where_a_master_comes_and_takes_the_first_slot_from_another_in_the_middle) {
    run(io_, [&]() -> asio::awaitable<void> {
        key_walk walk(*client_, "walk:", "zset");
        co_await take(walk);
        auto const added = all_.add_node();
        auto const before = all_.owner(0);
        all_.begin_move(0, added);
        all_.move_keys(0, added);
        all_.end_move(0, added);
        redis::command read;
        for (auto const owner = client_->key_servers().at(0).name; owner == client_->key_servers().at(0).name;)
            co_await ask(*client_, read.clear().start(2).arg("GET").key("{06S}")); // of slot 0: MOVED, once all know
        co_await take_rest(walk);
        EXPECT_EQ(found_.size(), made());
        EXPECT_NE(all_.owner(0), before);
    });
}

TEST_F(keys_of_a_cluster, are_found_where_a_master_goes_in_the_middle_and_is_replaced) {
    run(io_, [&]() -> asio::awaitable<void> {
        key_walk walk(*client_, "walk:", "zset");
        co_await take(walk);
        auto const at = all_.owner(walk.slot());
        while (all_.node(at + all_.masters()).integer({"DBSIZE"}) < per_master) // its replica knows of all keys
            co_await asio::post(io_, use_result);
        all_.node(at).kill();
        co_await take_rest(walk);
        EXPECT_EQ(found_.size(), made());
        EXPECT_NE(all_.owner(0), at);
    });
}

TEST(keys_of_a_server, are_found_and_no_cursor_of_a_cluster_is_understood) {
    redis_server server;
    make_sets(server, "w[1]:", 2500);
    make_sets(server, "w1:", 10);
    asio::io_context io;
    client redis(io, patient_options(server.url()));
    key_walk walk(redis, "w[1]:", "zset");
    for (auto const* wrong : {"", "x", "-1", "1.", "0.5.127.0.0.1:1", "18446744073709551616"})
        EXPECT_FALSE(walk.resume(wrong)) << wrong;
    run(io, [&]() -> asio::awaitable<void> {
        std::set<std::string> found;
        while (!walk.ended()) {
            EXPECT_TRUE(walk.resume(walk.cursor()));
            std::vector<std::string> piece;
            auto const ec = co_await walk.next(piece);
            EXPECT_FALSE(ec) << ec.message();
            found.insert(piece.begin(), piece.end());
        }
        EXPECT_EQ(found.size(), 2500u);
        EXPECT_EQ(walk.cursor(), "0");
    });
}

TEST(keys_of_nothing, are_asked_for_with_an_error) {
    asio::io_context io;
    auto options = patient_options("redis://127.0.0.1:" + std::to_string(dead_port()));
    options.server.topology = redis::topology::cluster;
    client redis(io, options);
    key_walk walk(redis, "w", "zset");
    for (auto const* wrong : {"1", "1.2", "0.16384", "0.x", "0.5x"})
        EXPECT_FALSE(walk.resume(wrong)) << wrong;
    EXPECT_TRUE(walk.resume("7.5.127.0.0.1:1"));
    run(io, [&]() -> asio::awaitable<void> {
        std::vector<std::string> piece;
        EXPECT_EQ(co_await walk.next(piece), errc::not_connected);
        EXPECT_EQ(walk.cursor(), "7.5.127.0.0.1:1");
    });
}

} // namespace
} // namespace weir::test
