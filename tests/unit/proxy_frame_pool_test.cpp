#include "proxy/io.hpp"

#include "support/allocations.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace weir::proxy {
namespace {

using test::allocations;
using test::counting;

/// What a block costs that the pool has.
constexpr std::size_t again = frame_pool::reuses ? 0 : 1;

template <class Work>
std::size_t allocations_of(Work&& work) {
    allocations = 0;
    counting = true;
    work();
    counting = false;
    return allocations;
}

/// So many blocks, each written to its last byte.
std::vector<void*> take(std::size_t n, std::size_t size) {
    std::vector<void*> blocks(n);
    for (auto& each : blocks)
        each = std::memset(frame_pool::allocate(size), 0xa5, size);
    return blocks;
}

void give_back(std::vector<void*> const& blocks, std::size_t size) {
    for (auto* const each : blocks)
        frame_pool::deallocate(each, size);
}

TEST(proxy_frame_pool, a_block_is_used_again_by_the_next_of_about_its_size) {
    frame_pool const pool;
    give_back(take(1, 500), 500);
    EXPECT_EQ(allocations_of([] { frame_pool::deallocate(frame_pool::allocate(450), 450); }), again);
    EXPECT_EQ(allocations_of([] { frame_pool::deallocate(frame_pool::allocate(600), 600); }), 1u);
}

TEST(proxy_frame_pool, what_is_kept_is_bounded) {
    frame_pool const pool;
    constexpr std::size_t n = 10 * frame_pool::most_kept;
    for (std::size_t const size : {std::size_t{1}, frame_pool::largest}) {
        give_back(take(n, size), size);
        std::vector<void*> blocks(n);
        auto const made = allocations_of([&] {
            for (auto& each : blocks)
                each = frame_pool::allocate(size);
        });
        EXPECT_EQ(made, n - (1 - again) * frame_pool::most_kept) << size;
        give_back(blocks, size);
    }
    give_back(take(1, frame_pool::largest + 1), frame_pool::largest + 1);
    EXPECT_EQ(allocations_of([] { give_back(take(1, frame_pool::largest + 1), frame_pool::largest + 1); }), 2u)
        << "one of them is of the list";
}

TEST(proxy_frame_pool, another_thread_may_free_and_so_may_who_comes_after_the_end) {
    std::vector<void*> elsewhere, later;
    {
        frame_pool const pool;
        elsewhere = take(10, 300);
        later = take(10, 300);
        std::thread([&] {
            frame_pool const own;
            give_back({elsewhere.begin(), elsewhere.begin() + 5}, 300);
        }).join();
        std::thread([&] { give_back({elsewhere.begin() + 5, elsewhere.end()}, 300); }).join();
    }
    give_back(later, 300);
    auto const before = take(10, 300);
    frame_pool const pool;
    give_back(before, 300);
    EXPECT_EQ(allocations_of([] { frame_pool::deallocate(frame_pool::allocate(300), 300); }), again);
}

TEST(proxy_frame_pool, the_inner_of_two_serves_while_it_lives) {
    frame_pool const outer;
    give_back(take(1, 200), 200);
    {
        frame_pool const inner;
        EXPECT_EQ(allocations_of([] { frame_pool::deallocate(frame_pool::allocate(200), 200); }), 1u);
    }
    EXPECT_EQ(allocations_of([] { frame_pool::deallocate(frame_pool::allocate(200), 200); }), again);
}

awaitable<int> doubled(int what) { co_return 2 * what; }

awaitable<int> sum_of(int n) {
    int sum = 0;
    for (int i = 0; i < n; ++i)
        sum += co_await doubled(i);
    co_return sum;
}

TEST(proxy_frame_pool, coroutines_live_in_it) {
    frame_pool const pool;
    asio::io_context io;
    std::size_t made = 0;
    asio::co_spawn(
        io,
        [](std::size_t& counted) -> asio::awaitable<void, executor> {
            EXPECT_EQ(co_await sum_of(1), 0);
            int sum = 0;
            awaitable<int> asked = sum_of(100);
            allocations = 0;
            counting = true;
            sum = co_await std::move(asked);
            counting = false;
            counted = allocations;
            EXPECT_EQ(sum, 9900);
        }(made),
        asio::detached);
    io.run();
    EXPECT_EQ(made, 100 * again);
}

TEST(proxy_frame_pool, an_exception_passes_through_coroutines) {
    frame_pool const pool;
    asio::io_context io;
    auto const fail = []() -> awaitable<int> {
        throw std::runtime_error("no");
        co_return 1;
    };
    auto const pass_on = [&]() -> awaitable<> { co_await fail(); };
    std::string what;
    asio::co_spawn(io, pass_on(), [&](std::exception_ptr const& thrown) {
        try {
            std::rethrow_exception(thrown);
        } catch (std::exception const& e) {
            what = e.what();
        }
    });
    io.run();
    EXPECT_EQ(what, "no");
}

} // namespace
} // namespace weir::proxy
