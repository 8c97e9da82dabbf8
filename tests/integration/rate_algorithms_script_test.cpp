#include "support/rate_twin.hpp"
#include "support/redis_server.hpp"
#include "support/script_runner.hpp"
#include "support/seed.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <random>

// Every algorithm: random requests to lua/rate_check.lua on a real server, to its twin in memory, and to the
// definition of the algorithm.

namespace weir::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr microseconds start{1'700'000'000'123'456};

class dice {
public:
    explicit dice(std::uint64_t seed)
        : random_(seed) {}
    std::uint64_t operator()(std::uint64_t most) {
        return std::uniform_int_distribution<std::uint64_t>{0, most}(random_);
    }

private:
    std::mt19937_64 random_;
};

class rate_algorithms : public testing::Test {
protected:
    using make_rule = std::function<rule(dice&, std::string)>;

    /// Rounds of 5 000 random requests over a few rules, users and endpoints; with penalties, shadows and overrides
    /// among the rules.
    void compare(int rounds, make_rule const& make, bool with_ids = false) {
        auto const seed = random_seed();
        SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
        dice up_to(seed);
        auto now = start;
        for (int round = 0; round < rounds && !HasFailure(); ++round) {
            script_.command({"FLUSHALL"});
            std::vector<rule> rules;
            for (std::uint64_t i = 0, n = 1 + up_to(3); i < n; ++i) {
                rules.push_back(make(up_to, "rule" + std::to_string(i)));
                decorate(up_to, rules.back());
            }
            play(up_to, rules, now, with_ids);
        }
    }

private:
    struct question {
        std::vector<charge> charges;
        rate_twin::said expected;
        bool settles = false;
    };

    static void decorate(dice& up_to, rule& r) {
        r.shadow = up_to(7) == 0;
        if (up_to(3) == 0)
            r.penalty = {static_cast<std::uint32_t>(1 + up_to(5)), milliseconds{1 + up_to(300)}};
        if (up_to(3) == 0)
            r.overrides["bob"].limit = up_to(30);
    }

    void play(dice& up_to, std::vector<rule> const& rules, microseconds& now, bool with_ids) {
        static const std::string users[] = {"alice", "bob", "", "x:y", "\xff*"};
        rate_twin model;
        std::vector<question> asked;
        for (int i = 0; i < 5000; ++i) {
            now += microseconds{up_to(200) == 0 ? up_to(700'000) : up_to(2000)};
            std::vector<charge> charges;
            auto const& user = users[up_to(4)];
            for (auto const& r : rules) {
                if (up_to(2) == 0 && !(charges.empty() && &r == &rules.back()))
                    continue;
                auto const cost = up_to(3) ? 1 : up_to(9) ? up_to(r.limit / 2 + 1) : up_to(2 * r.limit);
                charges.push_back({&r, user, up_to(1) ? "one" : "two", cost});
            }
            auto const id = with_ids ? std::to_string(i) : std::string{};
            auto const request = request_of(charges, id);
            auto const order = with_ids ? check_order::once : check_order::decide;
            script_.ask(now, request, {.order = order, .record_ttl = milliseconds{100'000}});
            asked.push_back({charges, model.run(now, charges, request.holder())});
            if (with_ids && up_to(1) == 0)
                asked.push_back(settle(charges, id, now, model, asked.back().expected.admitted));
        }
        read(asked, with_ids);
    }

    question settle(std::vector<charge> charges, std::string const& id, microseconds now, rate_twin& model, bool open) {
        for (auto& c : charges)
            c.cost = as_reserved;
        auto const request = request_of(charges, id);
        script_.ask(now, request, {.order = check_order::settle, .record_ttl = milliseconds{100'000}});
        if (open)
            model.release(charges, request.holder());
        return {charges, {open, {}}, true};
    }

    void read(std::vector<question> const& asked, bool with_ids) {
        for (std::size_t i = 0; i < asked.size() && !HasFailure(); ++i) {
            auto const reply = script_.read();
            SCOPED_TRACE("request " + std::to_string(i));
            if (asked[i].settles)
                EXPECT_EQ(reply.at(0), asked[i].expected.admitted ? 1 : -1);
            else
                expect_same(asked[i].expected, asked[i].charges, reply, with_ids);
        }
    }

    redis_server server_;

protected:
    script_runner script_{server_.socket_path()};
};

rule random_sliding_window(dice& up_to, std::string name) {
    return {.name = std::move(name),
            .limit = up_to(1) ? up_to(20) : 100 + up_to(5000),
            .window = milliseconds{1 + up_to(500)}};
}

rule random_token_bucket(dice& up_to, std::string name) {
    auto const limit = up_to(1) ? up_to(20) : 100 + up_to(1'000'000);
    return {.name = std::move(name),
            .algorithm = algorithm::token_bucket,
            .limit = limit,
            .window = milliseconds{1 + up_to(500)},
            .burst = limit > 0 ? up_to(2 * limit) : 0};
}

rule random_fixed_window(dice& up_to, std::string name) {
    return {.name = std::move(name),
            .algorithm = algorithm::fixed_window,
            .limit = up_to(1) ? up_to(20) : 100 + up_to(5000),
            .window = milliseconds{1 + up_to(500)}};
}

rule random_concurrency(dice& up_to, std::string name) {
    return {.name = std::move(name),
            .algorithm = algorithm::concurrency,
            .limit = up_to(30),
            .window = milliseconds{1 + up_to(200)}};
}

TEST_F(rate_algorithms, a_sliding_window_decides_200000_requests_as_its_twin_and_never_above_an_exact_log) {
    compare(40, random_sliding_window);
}

TEST_F(rate_algorithms, a_token_bucket_decides_200000_requests_as_its_twin_and_as_the_exact_rate) {
    compare(40, random_token_bucket);
}

TEST_F(rate_algorithms, a_fixed_window_decides_200000_requests_as_its_twin_and_as_one_counter_a_window) {
    compare(40, random_fixed_window);
}

TEST_F(rate_algorithms, concurrency_decides_200000_requests_as_its_twin_and_never_has_more_in_flight) {
    compare(40, random_concurrency, true);
}

TEST_F(rate_algorithms, all_of_them_together_decide_200000_requests_all_or_nothing) {
    compare(
        40,
        [](dice& up_to, std::string name) {
            rule (*const makers[])(dice&, std::string) = {random_sliding_window, random_token_bucket,
                                                          random_fixed_window, random_concurrency};
            return makers[up_to(3)](up_to, std::move(name));
        },
        true);
}

} // namespace
} // namespace weir::test
