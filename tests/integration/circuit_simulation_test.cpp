#include "support/circuit_runner.hpp"
#include "support/redis_server.hpp"
#include "support/seed.hpp"

#include <weir/circuit/member.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

// A fleet in one process: the breaker's protocol, the real scripts, and a clock, driven from a seed through crashes,
// partitions, failovers, skewed clocks and overrides. Everything that happens follows from the seed, which a failure
// prints: WEIR_TEST_SEED=<it> repeats it.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using namespace weir::circuit;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int seeds = 6;
#else
constexpr int seeds = 30;
#endif

settings simulated_settings() {
    settings how;
    how.window_time = 2s;
    how.minimum_calls = 20;
    how.open_for = 500ms;
    how.open_max = 3s;
    how.half_open_calls = 3;
    how.half_open_for = 3s;
    how.probe_timeout = 1s;
    how.healthy_for = 1s;
    return how;
}

/// What may go wrong in a run.
struct faults {
    bool crashes = true, partitions = true, failovers = true, outages = true, overrides = true;
    /// This one cannot reach the upstream, the others can.
    int cut_off = -1;
};

class world;

/// One process of the fleet.
class simulated_instance {
public:
    simulated_instance(world& around, std::string id, bool reaches_upstream);

    void step();
    void hear(std::string text, nanoseconds delay) { inbox_.emplace(now_later(delay), std::move(text)); }
    void miss() { subject_.missed(); }

    member& subject() noexcept { return subject_; }
    /// Until when it has no way to Redis.
    nanoseconds partitioned_until{0};

private:
    struct call {
        ticket leave;
        nanoseconds ends;
        outcome what;
    };
    struct reply {
        member::request request;
        std::optional<script_answer> answer;
    };

    nanoseconds now_later(nanoseconds delay) const;
    time_point local_now() const;
    void take_calls();
    void end_calls();
    void speak();
    void check_growth();

    world& world_;
    bool reaches_upstream_;
    nanoseconds clock_offset_;
    script_calls calls_;
    member subject_;
    std::vector<call> running_;
    std::multimap<nanoseconds, std::string> inbox_;
    std::multimap<nanoseconds, reply> replies_;
    nanoseconds next_tick_{0};
    std::uint64_t last_epoch_ = 0;
};

class world {
public:
    world(redis_server& server, std::uint64_t seed, int instances, faults allowed)
        : redis(server.socket_path())
        , random_(seed)
        , allowed_(allowed) {
        server.run({"FLUSHALL"});
        for (int i = 0; i < instances; ++i)
            start(i);
    }

    void run(nanoseconds how_long) {
        for (auto const end = now + how_long; now < end && !::testing::Test::HasFatalFailure();) {
            now += microseconds{1000 + draw(9000)};
            if (now < calm_from_)
                misbehave();
            for (auto& each : fleet)
                if (each)
                    each->step();
        }
    }
    /// From now on nothing goes wrong.
    void heal() {
        calm_from_ = now;
        upstream_down_until_ = 0ns;
        for (std::size_t i = 0; i < fleet.size(); ++i) {
            if (!fleet[i])
                start(static_cast<int>(i));
            fleet[i]->partitioned_until = 0ns;
            fleet[i]->miss();
        }
        by_hand(std::nullopt); // a failover may have brought back what was set long ago
    }

    std::uint64_t draw(std::uint64_t below) { return random_() % below; }
    bool chance(int in) { return draw(static_cast<std::uint64_t>(in)) == 0; }
    bool upstream_up() const { return now >= upstream_down_until_; }

    /// One call of a script, and what it published: told to everybody, and checked.
    template <class What>
    script_answer call(script_calls const& calls, caller const& who, What const& what) {
        redis.set_time(server_time());
        auto const answer = redis.run(calls, who, what);
        spread();
        if constexpr (std::is_same_v<What, circuit::probe>)
            check_leases(who, what, answer);
        return answer;
    }

    microseconds server_time() const {
        return 1'800'000'000s + std::chrono::duration_cast<microseconds>(now + server_offset_);
    }

    circuit_runner redis;
    nanoseconds now{0};
    std::vector<std::unique_ptr<simulated_instance>> fleet;
    settings const how = simulated_settings();
    std::map<reason, int> changes;

private:
    void start(int i) {
        if (fleet.size() <= static_cast<std::size_t>(i))
            fleet.resize(static_cast<std::size_t>(i) + 1);
        fleet[static_cast<std::size_t>(i)] =
            std::make_unique<simulated_instance>(*this, "i" + std::to_string(++born_), i != allowed_.cut_off);
    }

    void misbehave() {
        auto& one = fleet[draw(fleet.size())];
        if (allowed_.crashes && chance(300))
            one.reset();
        if (allowed_.crashes && chance(100))
            for (std::size_t i = 0; i < fleet.size(); ++i)
                if (!fleet[i])
                    start(static_cast<int>(i));
        if (allowed_.partitions && one && chance(200))
            one->partitioned_until = now + milliseconds{draw(4000)};
        if (allowed_.outages && upstream_up() && chance(400))
            upstream_down_until_ = now + milliseconds{draw(5000)};
        if (allowed_.failovers && chance(500))
            fail_over();
        if (allowed_.overrides && chance(600))
            by_hand(set_by_hand_ ? std::nullopt : std::optional(static_cast<state>(3 + draw(3))));
    }

    /// The new master knows nothing, or what the old one knew some time ago; its clock is another.
    void fail_over() {
        if (chance(2) || snapshot_.empty()) {
            redis.command({"DEL", "circuit:api"});
        } else {
            redis.command({"DEL", "circuit:api"});
            redis.command({"RESTORE", "circuit:api", "0", snapshot_});
        }
        server_offset_ += milliseconds{static_cast<std::int64_t>(draw(4000)) - 2000};
        set_by_hand_ = false;
        lent_.clear(); // what the lost writes had lent, the new master cannot know
        last_published_ = 0;
        failed_over_ = true;
    }

    void by_hand(std::optional<state> to) {
        redis.set_time(server_time());
        script_calls const calls("", "api", key_layout::standalone, how, 300ms, "cli");
        redis.run(calls, override_request{to, {}, "chaos", "because"});
        spread();
        set_by_hand_ = to.has_value();
    }

    void spread() {
        for (auto const& text : redis.heard()) {
            auto const message = read_message(text);
            ASSERT_TRUE(message) << text;
            EXPECT_GT(message->view.epoch, message->before);
            // One event a change, none lost, none twice: each begins where the one before it ended.
            // What a failover lost may be told again by who knows it.
            if (last_published_ != 0) {
                EXPECT_TRUE(message->before == last_published_ || (failed_over_ && message->before > last_published_))
                    << text << " after " << last_published_;
            }
            last_published_ = message->view.epoch;
            ++changes[message->view.why];
            for (auto& each : fleet)
                if (each && now >= each->partitioned_until && !(now < calm_from_ && chance(50)))
                    each->hear(text, microseconds{draw(20'000)});
        }
        if (chance(100))
            snapshot_ = redis.command({"DUMP", "circuit:api"});
        if (snapshot_ == "(nil)")
            snapshot_.clear();
    }

    /// Never more probes under way than allowed, by the scripts' own answers.
    void check_leases(caller const& who, circuit::probe const& what, script_answer const& answer) {
        if (what.what != circuit::probe::ask::lease) {
            lent_.erase({who.epoch, what.lease});
            return;
        }
        if (answer.extra == 0)
            return;
        auto const [at, fresh] =
            lent_.try_emplace({answer.view.epoch, answer.extra}, server_time() + answer.lease_lasts);
        EXPECT_TRUE(fresh) << "lease " << answer.extra << " was lent twice";
        auto const under_way = std::count_if(lent_.begin(), lent_.end(), [&](auto const& each) {
            return each.first.first == answer.view.epoch && each.second > server_time();
        });
        EXPECT_LE(under_way, how.half_open_calls);
    }

    std::mt19937_64 random_;
    faults allowed_;
    int born_ = 0;
    nanoseconds calm_from_ = nanoseconds::max();
    nanoseconds upstream_down_until_{0};
    nanoseconds server_offset_{0};
    bool set_by_hand_ = false;
    bool failed_over_ = false;
    std::string snapshot_;
    std::uint64_t last_published_ = 0;
    std::map<std::pair<std::uint64_t, std::uint64_t>, microseconds> lent_;
};

simulated_instance::simulated_instance(world& around, std::string id, bool reaches_upstream)
    : world_(around)
    , reaches_upstream_(reaches_upstream)
    , clock_offset_(1000h + milliseconds{around.draw(10'000'000)})
    , calls_("", "api", key_layout::standalone, around.how, 300ms, std::move(id))
    , subject_(around.how, {}, around.draw(1u << 30))
    , next_tick_(around.now + milliseconds{around.draw(100)}) {}

nanoseconds simulated_instance::now_later(nanoseconds delay) const { return world_.now + delay; }

time_point simulated_instance::local_now() const { return time_point{world_.now + clock_offset_}; }

void simulated_instance::step() {
    while (!inbox_.empty() && inbox_.begin()->first <= world_.now) {
        subject_.heard(*read_message(inbox_.begin()->second), local_now());
        inbox_.erase(inbox_.begin());
    }
    while (!replies_.empty() && replies_.begin()->first <= world_.now) {
        auto const [request, answer] = replies_.begin()->second;
        replies_.erase(replies_.begin());
        if (!answer)
            subject_.failed(request, false, local_now());
        else if (auto const lease = subject_.answered(request, *answer, local_now()))
            subject_.breaker().lend(lease->epoch, lease->id, lease->until);
    }
    subject_.breaker().on_time(local_now());
    end_calls();
    take_calls();
    speak();
    check_growth();
}

void simulated_instance::take_calls() {
    for (auto i = world_.draw(4); i > 0; --i)
        if (auto const leave = subject_.breaker().acquire(local_now())) {
            bool const good = world_.upstream_up() && reaches_upstream_;
            auto const what = world_.chance(20) ? outcome::ignored : good ? outcome::success : outcome::failure;
            auto const takes = world_.chance(200) ? 2000ms : milliseconds{1 + world_.draw(50)};
            running_.push_back({leave, world_.now + takes, what});
        }
}

void simulated_instance::end_calls() {
    std::erase_if(running_, [this](call const& each) {
        if (each.ends > world_.now)
            return false;
        if (world_.chance(30))
            subject_.breaker().release(each.leave);
        else
            subject_.breaker().record(each.leave, each.what, 1ms, local_now());
        return true;
    });
}

void simulated_instance::speak() {
    bool const tick = world_.now >= next_tick_;
    if (tick)
        next_tick_ = world_.now + 100ms;
    while (auto const request = subject_.next(local_now(), tick)) {
        bool const away = world_.now < partitioned_until;
        std::optional<script_answer> answer;
        // Of what is sent into a partition, some arrives, and its answer is lost.
        if (!away || world_.chance(3)) {
            answer = request->what == member::ask::report  ? world_.call(calls_, request->who, request->counts)
                     : request->what == member::ask::lease ? world_.call(calls_, request->who, request->probe)
                                                           : world_.call(calls_, request->who, request->probe);
        }
        if (away)
            answer.reset();
        replies_.emplace(now_later(away ? nanoseconds{50ms} : nanoseconds{microseconds{world_.draw(5000)}}),
                         reply{*request, answer});
    }
}

void simulated_instance::check_growth() {
    auto const epoch = subject_.breaker().epoch();
    EXPECT_GE(epoch, last_epoch_) << "an epoch went back";
    last_epoch_ = epoch;
    while (auto const change = subject_.breaker().next_change())
        EXPECT_TRUE(change->from != change->to || change->to == state::metrics_only);
}

class circuit_simulation : public ::testing::Test {
protected:
    static void SetUpTestSuite() { server_ = new redis_server; }
    static void TearDownTestSuite() {
        delete server_;
        server_ = nullptr;
    }
    /// `seeds` runs, or the one of WEIR_TEST_SEED.
    template <class Body>
    static void for_seeds(Body const& body) {
        auto const first = random_seed();
        int const runs = std::getenv("WEIR_TEST_SEED") ? 1 : seeds;
        for (int i = 0; i < runs && !HasFailure(); ++i) {
            auto const seed = first + static_cast<std::uint64_t>(i);
            SCOPED_TRACE("WEIR_TEST_SEED=" + std::to_string(seed));
            body(seed);
        }
    }
    static inline redis_server* server_ = nullptr;
};

TEST_F(circuit_simulation, a_fleet_keeps_its_invariants_through_all_faults_and_agrees_on_closed_when_they_are_over) {
    std::map<reason, int> changes;
    for_seeds([&](std::uint64_t seed) {
        world all(*server_, seed, 5, {.failovers = seed % 2 == 0});
        all.run(30s);
        all.heal();
        all.run(15s);
        for (auto const& each : all.fleet) {
            auto const& breaker = each->subject().breaker();
            EXPECT_EQ(breaker.now(), state::closed) << to_string(breaker.now());
            EXPECT_TRUE(breaker.attached());
            EXPECT_EQ(std::to_string(breaker.epoch()), all.redis.command({"HGET", "circuit:api", "epoch"}));
        }
        for (auto const& [why, count] : all.changes)
            changes[why] += count;
    });
    if (!HasFailure() && !std::getenv("WEIR_TEST_SEED")) {
        for (auto const why : {reason::failure_rate, reason::wait_over, reason::probes_failed, reason::probes_passed,
                               reason::by_hand, reason::state_lost})
            EXPECT_GT(changes[why], 0) << "never happened: " << to_string(why);
    }
}

TEST_F(circuit_simulation, with_one_instance_cut_off_from_the_upstream_the_others_stay_closed) {
    for_seeds([&](std::uint64_t seed) {
        world all(*server_, seed, 4,
                  {.crashes = false,
                   .partitions = false,
                   .failovers = false,
                   .outages = false,
                   .overrides = false,
                   .cut_off = 2});
        all.run(10s);
        EXPECT_TRUE(all.changes.empty());
        for (std::size_t i = 0; i < all.fleet.size(); ++i) {
            auto const& breaker = all.fleet[i]->subject().breaker();
            EXPECT_EQ(breaker.now() == state::closed, i != 2) << i;
            EXPECT_FALSE(breaker.fleet());
        }
    });
}

TEST_F(circuit_simulation, an_outage_opens_all_by_one_event) {
    for_seeds([&](std::uint64_t seed) {
        world all(*server_, seed, 5,
                  {.crashes = false, .partitions = false, .failovers = false, .outages = true, .overrides = false});
        all.run(20s);
        EXPECT_EQ(all.changes[reason::failure_rate] + all.changes[reason::probes_failed] +
                      all.changes[reason::no_results] - all.changes[reason::wait_over],
                  all.redis.command({"HGET", "circuit:api", "state"}) == "open" ? 1 : 0)
            << "each opening ends by its wait";
    });
}

} // namespace
} // namespace weir::test
