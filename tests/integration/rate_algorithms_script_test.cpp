#include "support/rate_twin.hpp"
#include "support/redis_server.hpp"
#include "support/script_runner.hpp"
#include "support/seed.hpp"

#include <gmock/gmock.h>

#include <deque>
#include <functional>
#include <random>
#include <span>

// Every algorithm: random requests to lua/rate_check.lua on a real server, to its twin in memory, and to the
// definition of the algorithm.

namespace weir::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

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

    /// How the requests are asked.
    enum class asked_as : std::uint8_t { one_by_one, with_ids, in_batches };

    /// Rounds of 5 000 random requests over a few rules, users and endpoints; with penalties, shadows and overrides
    /// among the rules.
    void compare(int rounds, make_rule const& make, asked_as how = asked_as::one_by_one) {
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
            if (how == asked_as::in_batches)
                play_in_batches(up_to, rules, now);
            else
                play(up_to, rules, now, how == asked_as::with_ids);
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

    static std::vector<charge> random_charges(dice& up_to, std::vector<rule> const& rules) {
        static const std::string users[] = {"alice", "bob", "", "x:y", "\xff*"};
        std::vector<charge> charges;
        auto const& user = users[up_to(4)];
        for (auto const& r : rules) {
            if (up_to(2) == 0 && !(charges.empty() && &r == &rules.back()))
                continue;
            auto const cost = up_to(3) ? 1 : up_to(9) ? up_to(r.limit / 2 + 1) : up_to(2 * r.limit);
            charges.push_back({&r, user, up_to(1) ? "one" : "two", cost});
        }
        return charges;
    }

    static void step(dice& up_to, microseconds& now) {
        now += microseconds{up_to(200) == 0 ? up_to(700'000) : up_to(2000)};
    }

    void play(dice& up_to, std::vector<rule> const& rules, microseconds& now, bool with_ids) {
        rate_twin model;
        std::vector<question> asked;
        for (int i = 0; i < 5000; ++i) {
            step(up_to, now);
            auto const charges = random_charges(up_to, rules);
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

    /// Several at a time, the same request often more than once in a row.
    void play_in_batches(dice& up_to, std::vector<rule> const& rules, microseconds& now) {
        rate_twin model;
        for (int done = 0; done < 5000 && !HasFailure();) {
            step(up_to, now);
            check_batch batch;
            std::deque<check_request> requests;
            std::vector<question> asked;
            for (auto const size = 2 + up_to(30); asked.size() < size;) {
                auto const charges = asked.empty() || up_to(1) ? random_charges(up_to, rules) : asked.back().charges;
                auto const& request = requests.emplace_back(request_of(charges));
                if (!batch.add(request))
                    break;
                asked.push_back({charges, model.run(now, charges, request.holder())});
            }
            script_.ask(now, batch);
            auto const reply = script_.read();
            std::span<std::int64_t const> left = reply;
            for (std::size_t i = 0; i < asked.size() && !HasFailure(); ++i) {
                SCOPED_TRACE("request " + std::to_string(done) + ", " + std::to_string(i) + " of its call");
                auto const said = batch.take_reply(i, left);
                std::vector<std::int64_t> own(said.begin(), said.end());
                ASSERT_FALSE(own.empty());
                if (own[0] < 0)
                    own[0] += 2; // as if it had been asked alone
                expect_same(asked[i].expected, asked[i].charges, own, false);
            }
            EXPECT_TRUE(left.empty());
            done += static_cast<int>(asked.size());
        }
    }

    redis_server server_;

protected:
    script_runner script_{server_.socket_path(), script_runner::lives::prolonged};
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
    compare(40, random_concurrency, asked_as::with_ids);
}

TEST_F(rate_algorithms, all_of_them_together_decide_200000_requests_all_or_nothing) {
    compare(
        40,
        [](dice& up_to, std::string name) {
            rule (*const makers[])(dice&, std::string) = {random_sliding_window, random_token_bucket,
                                                          random_fixed_window, random_concurrency};
            return makers[up_to(3)](up_to, std::move(name));
        },
        asked_as::with_ids);
}

TEST_F(rate_algorithms, in_one_call_200000_requests_are_decided_as_one_after_the_other) {
    compare(
        40,
        [](dice& up_to, std::string name) {
            rule (*const makers[])(dice&, std::string) = {random_sliding_window, random_token_bucket,
                                                          random_fixed_window};
            return makers[up_to(2)](up_to, std::move(name));
        },
        asked_as::in_batches);
}

TEST_F(rate_algorithms, in_one_call_those_alike_for_its_101st_key_are_each_told_what_remains) {
    std::vector<rule> const rules(5, {.name = "before", .limit = 5, .window = milliseconds{1000}});
    rule const last{.name = "last", .limit = 3, .window = milliseconds{1000}};
    check_batch batch;
    std::deque<check_request> requests;
    std::vector<std::string> users;
    for (int i = 0; i < 100; ++i)
        users.push_back(std::to_string(i));
    for (std::size_t next = 0; next < users.size();) {
        std::vector<charge> charges;
        for (auto const& each : rules)
            if (next < users.size())
                charges.push_back({&each, users[next++], "e"});
        ASSERT_TRUE(batch.add(requests.emplace_back(request_of(charges))));
    }
    auto const before = batch.size();
    for (int i = 0; i < 4; ++i)
        ASSERT_TRUE(batch.add(requests.emplace_back(request_of({{&last, "late", "e"}}))));
    script_.ask(start, batch);
    auto const reply = script_.read();
    std::span<std::int64_t const> left = reply;
    std::vector<std::int64_t> firsts;
    for (std::size_t i = 0; i < batch.size(); ++i)
        firsts.push_back(batch.take_reply(i, left).front());
    EXPECT_THAT(std::span{firsts}.first(before), testing::Each(4));
    EXPECT_THAT(std::span{firsts}.subspan(before), testing::ElementsAre(2, 1, 0, -2));
}

} // namespace
} // namespace weir::test
