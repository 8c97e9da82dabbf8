#include <weir/redis/pipeline.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <random>

// The pipeline stepped line by line: what goes in, what is to be written, who is completed with what.

namespace {

using namespace weir;
using namespace std::chrono_literals;
using redis::command;
using redis::pipeline;

using time_point = pipeline::time_point;

constexpr time_point at(std::chrono::milliseconds when) { return time_point{when}; }

// An operation that notes its end.
class probe : public redis::operation {
public:
    explicit probe(redis::command what, std::chrono::milliseconds until = 1000ms)
        : operation(&probe::finish)
        , bytes(std::move(what)) {
        command = &bytes;
        sink = &text;
        deadline = at(until);
    }

    redis::command bytes;
    redis::string_sink text;
    int completed = 0;
    int destroyed = 0;

private:
    static void finish(operation* base, bool invoke) {
        auto& self = *static_cast<probe*>(base);
        ++(invoke ? self.completed : self.destroyed);
    }
};

class redis_pipeline : public testing::Test {
protected:
    std::deque<probe> probes; // outlive the pipeline, which destroys what it still holds
    pipeline under_test{redis::pipeline_limits{}, nullptr};

    probe& make(command what, std::chrono::milliseconds deadline = 1000ms) {
        return probes.emplace_back(std::move(what), deadline);
    }

    probe& submit(command what, std::chrono::milliseconds deadline = 1000ms) {
        auto& result = make(std::move(what), deadline);
        under_test.submit(result, at(0ms));
        return result;
    }

    probe& get(std::string_view key) { return submit(command("GET", key)); }

    // Everything that is to be written now, all of it taken by the system.
    std::string write() {
        std::string all;
        for (auto bytes = under_test.prepare_write(); !bytes.empty(); bytes = under_test.prepare_write()) {
            all += bytes;
            under_test.written(bytes.size());
        }
        return all;
    }

    void feed(std::string_view bytes, time_point now = at(1ms)) {
        auto const wrong = under_test.feed(bytes, now);
        EXPECT_FALSE(wrong) << wrong.message() << ": " << under_test.error_text();
        drain();
    }

    void drain() {
        redis::operation_list done;
        under_test.take_completed(done);
        while (!done.empty()) {
            auto& first = done.front();
            done.pop_front();
            first.complete();
        }
    }

    void open() {
        under_test.connected();
        under_test.open();
    }

    static std::string wire(command const& what) { return std::string(what.payload()); }
};

#define EXPECT_DONE(operation, expected)                                                                               \
    do {                                                                                                               \
        auto const& examined = (operation);                                                                            \
        drain();                                                                                                       \
        EXPECT_EQ(examined.completed, 1);                                                                              \
        EXPECT_EQ(examined.result, error_code(expected));                                                              \
    } while (false)
#define EXPECT_PENDING(operation)                                                                                      \
    do {                                                                                                               \
        drain();                                                                                                       \
        EXPECT_EQ((operation).completed, 0);                                                                           \
    } while (false)

TEST_F(redis_pipeline, writes_nothing_of_the_callers_before_it_is_open) {
    auto& early = get("a");
    EXPECT_EQ(write(), "");
    under_test.connected();
    auto& step = make(command("CLIENT", "SETNAME", "x"));
    under_test.submit_handshake(step, at(0ms));
    EXPECT_EQ(write(), wire(command("CLIENT", "SETNAME", "x")));
    feed("+OK\r\n");
    EXPECT_DONE(step, error_code{});
    EXPECT_PENDING(early);
    under_test.open();
    EXPECT_EQ(write(), wire(command("GET", "a")));
    feed("$1\r\nv\r\n");
    EXPECT_DONE(early, error_code{});
    EXPECT_EQ(early.text.value(), "v");
}

TEST_F(redis_pipeline, gathers_the_next_batch_while_one_is_being_written) {
    open();
    get("a");
    get("b");
    auto const first = std::string(under_test.prepare_write());
    EXPECT_EQ(first, wire(command("GET", "a")) + wire(command("GET", "b")));
    under_test.written(5);
    get("c");
    EXPECT_EQ(under_test.prepare_write(), first.substr(5));
    under_test.written(first.size() - 5);
    EXPECT_EQ(write(), wire(command("GET", "c")));
    EXPECT_EQ(under_test.stats().batches, 2u);
}

TEST_F(redis_pipeline, a_batch_ends_at_its_limit_but_a_long_command_goes_whole) {
    redis::pipeline_limits limits;
    limits.max_batch_bytes = 100;
    probe first(command("ECHO", std::string(300, 'x'))), second(command("PING"));
    pipeline small{limits, nullptr};
    small.connected();
    small.open();
    small.submit(first, at(0ms));
    small.submit(second, at(0ms));
    EXPECT_EQ(small.prepare_write(), first.bytes.payload());
    small.written(first.bytes.payload().size());
    EXPECT_EQ(small.prepare_write(), second.bytes.payload());
}

TEST_F(redis_pipeline, takes_a_reply_before_the_write_is_known_to_be_done) {
    open();
    auto& fast = get("a");
    EXPECT_FALSE(under_test.prepare_write().empty());
    feed("$1\r\nv\r\n");
    EXPECT_DONE(fast, error_code{});
}

TEST_F(redis_pipeline, pairs_replies_in_order) {
    open();
    auto& a = get("a");
    auto& b = get("b");
    write();
    feed("$1\r\n1\r\n$1\r");
    EXPECT_DONE(a, error_code{});
    EXPECT_EQ(a.text.value(), "1");
    EXPECT_PENDING(b);
    feed("\n2\r\n");
    EXPECT_EQ(b.text.value(), "2");
}

TEST_F(redis_pipeline, an_expired_operation_leaves_a_tombstone_that_swallows_its_late_reply) {
    open();
    auto& slow = submit(command("GET", "slow"), 10ms);
    auto& next = get("next");
    write();
    EXPECT_EQ(under_test.next_deadline(), at(10ms));
    under_test.expire(at(9ms));
    EXPECT_PENDING(slow);
    under_test.expire(at(10ms));
    EXPECT_DONE(slow, errc::timed_out);
    EXPECT_EQ(under_test.stats().tombstones, 1u);
    EXPECT_EQ(under_test.next_deadline(), at(1000ms));
    feed("$4\r\nlate\r\n$5\r\nright\r\n");
    EXPECT_EQ(slow.text.value(), "");
    EXPECT_EQ(next.text.value(), "right");
    EXPECT_EQ(under_test.stats().tombstones, 0u);
    EXPECT_EQ(slow.completed, 1);
}

TEST_F(redis_pipeline, an_operation_that_expires_in_the_middle_of_its_reply_is_not_touched_again) {
    open();
    redis::flat_reply sink;
    auto& slow = make(command("KEYS", "*"), 10ms);
    slow.sink = &sink;
    under_test.submit(slow, at(0ms));
    auto& next = get("next");
    write();
    feed("*2\r\n$1\r\na\r\n");
    EXPECT_EQ(sink.nodes().size(), 2u);
    under_test.expire(at(10ms));
    EXPECT_DONE(slow, errc::timed_out);
    feed("$1\r\nb\r\n$1\r\nv\r\n");
    EXPECT_EQ(sink.nodes().size(), 2u);
    EXPECT_EQ(next.text.value(), "v");
}

TEST_F(redis_pipeline, what_expires_unsent_is_never_written) {
    auto& early = submit(command("GET", "a"), 10ms);
    under_test.expire(at(10ms));
    EXPECT_DONE(early, errc::timed_out_unsent);
    open();
    EXPECT_EQ(write(), "");
    EXPECT_EQ(under_test.stats().queued, 0u);
    EXPECT_EQ(under_test.stats().queued_bytes, 0u);
}

TEST_F(redis_pipeline, cancellation_unlinks_what_is_unsent_and_buries_what_is_sent) {
    open();
    auto& sent = get("sent");
    write();
    auto& unsent = get("unsent");
    auto& kept = get("kept");
    under_test.cancel(sent);
    under_test.cancel(unsent);
    EXPECT_DONE(sent, errc::cancelled);
    EXPECT_DONE(unsent, errc::cancelled_unsent);
    under_test.cancel(sent);
    EXPECT_EQ(write(), wire(command("GET", "kept")));
    feed("$4\r\nlate\r\n$1\r\nv\r\n");
    EXPECT_EQ(kept.text.value(), "v");
    EXPECT_EQ(sent.completed, 1);
}

TEST_F(redis_pipeline, a_lost_connection_tells_what_was_sent_from_what_was_not) {
    open();
    auto& sent = get("sent");
    write();
    auto& partly = get("partly");
    auto& in_buffer = get("buffer");
    under_test.prepare_write();
    under_test.written(3);
    auto& queued = get("queued");
    under_test.disconnected(at(1ms));
    EXPECT_DONE(sent, errc::connection_lost);
    EXPECT_DONE(partly, errc::connection_lost);
    EXPECT_PENDING(in_buffer);
    EXPECT_PENDING(queued);
    open();
    EXPECT_EQ(write(), wire(command("GET", "buffer")) + wire(command("GET", "queued")));
    feed("$1\r\n1\r\n$1\r\n2\r\n");
    EXPECT_EQ(in_buffer.text.value(), "1");
    EXPECT_EQ(queued.text.value(), "2");
}

TEST_F(redis_pipeline, an_unreachable_server_fails_what_waits_and_all_that_follows_at_once) {
    auto& waits = get("a");
    auto& start = make(command{});
    under_test.wait_open(start, at(0ms));
    under_test.connect_failed(errc::max_clients);
    EXPECT_DONE(waits, errc::not_connected);
    EXPECT_DONE(start, errc::max_clients);
    auto& follows = get("b");
    EXPECT_DONE(follows, errc::not_connected);
    EXPECT_FALSE(under_test.next_deadline());
    open();
    get("c");
    EXPECT_EQ(write(), wire(command("GET", "c")));
}

TEST_F(redis_pipeline, refused_credentials_are_told_to_every_caller) {
    auto& waits = get("a");
    under_test.connect_failed(errc::wrong_password);
    EXPECT_DONE(waits, errc::wrong_password);
    EXPECT_DONE(get("b"), errc::wrong_password);
}

TEST_F(redis_pipeline, only_what_is_idempotent_is_sent_again_and_within_its_deadline) {
    open();
    auto& once = get("once");
    auto& again = make(command("GET", "again"));
    auto& late = make(command("GET", "late"), 5ms);
    again.idempotent = late.idempotent = true;
    under_test.submit(again, at(0ms));
    under_test.submit(late, at(0ms));
    write();
    under_test.disconnected(at(6ms));
    EXPECT_DONE(once, errc::connection_lost);
    EXPECT_DONE(late, errc::connection_lost);
    EXPECT_PENDING(again);
    open();
    EXPECT_EQ(write(), wire(command("GET", "again")));
    feed("$1\r\nv\r\n");
    EXPECT_DONE(again, error_code{});
    EXPECT_EQ(under_test.stats().resends, 1u);
}

TEST_F(redis_pipeline, an_operation_to_be_sent_again_may_have_been_executed_whatever_happens_next) {
    open();
    std::vector<probe*> again;
    for (int i = 0; i < 3; ++i) {
        again.push_back(&make(command("INCR", "x"), i == 0 ? 50ms : 1000ms));
        again.back()->idempotent = true;
        under_test.submit(*again.back(), at(0ms));
    }
    write();
    under_test.disconnected(at(1ms));
    under_test.expire(at(50ms));
    EXPECT_DONE(*again[0], errc::timed_out);
    under_test.cancel(*again[1]);
    EXPECT_DONE(*again[1], errc::cancelled);
    under_test.connect_failed(errc::not_connected);
    EXPECT_DONE(*again[2], errc::connection_lost);
}

TEST_F(redis_pipeline, resends_stay_within_a_fifth_of_the_operations) {
    std::size_t resent = 0, submitted = 0;
    for (int round = 0; round < 40; ++round) {
        open();
        for (int i = 0; i < 10; ++i, ++submitted) {
            auto& again = make(command("GET", "x"));
            again.idempotent = true;
            under_test.submit(again, at(0ms));
        }
        write();
        under_test.disconnected(at(1ms));
        under_test.connect_failed(errc::not_connected);
        drain();
    }
    resent = under_test.stats().resends;
    EXPECT_GE(resent, submitted / 5);
    EXPECT_LE(resent, submitted / 5 + 10) << "ten to start with";
}

TEST_F(redis_pipeline, many_callers_who_meet_noscript_cause_one_script_load) {
    redis::script const code("mine", "return 1");
    command run;
    run.evalsha(code, 0, 0);
    open();
    std::vector<probe*> callers;
    for (int i = 0; i < 4; ++i)
        callers.push_back(&submit(run));
    write();
    feed("-NOSCRIPT No matching script.\r\n-NOSCRIPT No matching script.\r\n");
    auto const load = wire(command("SCRIPT", "LOAD", "return 1"));
    EXPECT_EQ(write(), load + wire(run) + wire(run));
    // The other two were written before the load and only now learn of the gap.
    feed("-NOSCRIPT No matching script.\r\n-NOSCRIPT No matching script.\r\n");
    EXPECT_EQ(write(), wire(run) + wire(run));
    feed("$4\r\nsha1\r\n+a\r\n+b\r\n+c\r\n+d\r\n");
    for (auto* each : callers)
        EXPECT_DONE(*each, error_code{});
    EXPECT_EQ(callers[3]->text.value(), "d");
    EXPECT_EQ(under_test.stats().scripts_reloaded, 1u);

    submit(run);
    write();
    feed("-NOSCRIPT flushed again.\r\n");
    EXPECT_EQ(write(), load + wire(run)) << "a new gap is healed anew";
}

TEST_F(redis_pipeline, a_script_that_cannot_be_loaded_fails_with_the_reason) {
    redis::script const code("mine", "return 1");
    command run;
    run.evalsha(code, 0, 0);
    open();
    auto& caller = submit(run);
    write();
    feed("-NOSCRIPT No matching script.\r\n");
    write();
    feed("-OOM command not allowed when used memory > 'maxmemory'.\r\n-NOSCRIPT No matching script.\r\n");
    EXPECT_DONE(caller, errc::out_of_memory);
    auto& other = submit(run);
    write();
    feed("-NOSCRIPT No matching script.\r\n");
    EXPECT_NE(write(), "") << "the next caller gets an attempt of its own";
    feed("$4\r\nsha1\r\n+fine\r\n");
    EXPECT_DONE(other, error_code{});
}

TEST_F(redis_pipeline, a_flush_that_never_ends_ends_at_the_deadline) {
    redis::script const code("mine", "return 1");
    command run;
    run.evalsha(code, 0, 0);
    open();
    auto& caller = submit(run, 100ms);
    for (int i = 0; i < 20; ++i) {
        write();
        feed(i == 0 ? "-NOSCRIPT x\r\n" : "$4\r\nsha1\r\n-NOSCRIPT x\r\n");
    }
    EXPECT_PENDING(caller);
    under_test.expire(at(100ms));
    EXPECT_DONE(caller, errc::no_script);
}

TEST_F(redis_pipeline, noscript_of_another_making_is_the_callers) {
    open();
    auto& raw = submit(command("EVALSHA", std::string(40, '0'), 0));
    write();
    feed("-NOSCRIPT No matching script.\r\n");
    EXPECT_DONE(raw, errc::no_script);
    EXPECT_EQ(raw.text.error_text(), "NOSCRIPT No matching script.");
}

TEST_F(redis_pipeline, busy_and_loading_are_tried_again_after_a_while) {
    open();
    auto& patient = get("a");
    auto& hasty = submit(command("GET", "b"), 3ms);
    write();
    feed("-LOADING Redis is loading the dataset in memory\r\n-BUSY Redis is busy running a script.\r\n", at(1ms));
    EXPECT_PENDING(patient);
    EXPECT_DONE(hasty, errc::busy);
    EXPECT_EQ(write(), "") << "not at once";
    EXPECT_EQ(under_test.next_deadline(), at(6ms));
    under_test.expire(at(6ms));
    EXPECT_EQ(write(), wire(command("GET", "a")));
    feed("$1\r\nv\r\n");
    EXPECT_DONE(patient, error_code{});
    EXPECT_FALSE(under_test.next_deadline());
}

TEST_F(redis_pipeline, notes_by_which_connection_a_reply_came) {
    open();
    std::uint64_t by_first = 0, refused_by = 0, by_second = 0, by_none = 0;
    auto const asked = [&](std::uint64_t& note, std::chrono::milliseconds deadline = 1000ms) -> probe& {
        auto& result = make(command("GET", "a"), deadline);
        result.answered_by = &note;
        result.idempotent = true;
        under_test.submit(result, at(0ms));
        return result;
    };
    asked(by_first);
    asked(refused_by);
    asked(by_second);
    asked(by_none, 5ms);
    write();
    feed("$1\r\nv\r\n-ERR no\r\n");
    EXPECT_NE(by_first, 0u);
    EXPECT_EQ(refused_by, by_first);
    under_test.disconnected(at(1ms));
    open();
    write();
    feed("$1\r\nv\r\n");
    EXPECT_GT(by_second, by_first);
    under_test.expire(at(5ms));
    feed("$1\r\nv\r\n");
    EXPECT_EQ(by_none, 0u);
}

TEST_F(redis_pipeline, a_refusal_is_not_tried_again_so_late_that_its_outcome_may_stay_unknown) {
    open();
    auto& caller = submit(command("INCR", "a"), 80ms);
    write();
    feed("-BUSY Redis is busy running a script.\r\n", at(65ms));
    under_test.expire(at(70ms));
    EXPECT_EQ(write(), wire(command("INCR", "a"))) << "an eighth of its time is left";
    feed("-BUSY Redis is busy running a script.\r\n", at(71ms));
    EXPECT_DONE(caller, errc::busy);
    EXPECT_EQ(caller.text.error_text(), "BUSY Redis is busy running a script.");
    EXPECT_EQ(write(), "");
}

TEST_F(redis_pipeline, what_is_to_go_later_is_written_no_sooner_and_expires_all_the_same) {
    open();
    auto& later = make(command("GET", "a"));
    auto& too_late = make(command("GET", "b"), 5ms);
    auto& given_up = make(command("GET", "c"));
    for (auto* each : {&later, &too_late, &given_up})
        under_test.submit_later(*each, at(0ms), at(20ms));
    EXPECT_EQ(write(), "");
    EXPECT_EQ(under_test.stats().queued, 3u);
    under_test.cancel(given_up);
    EXPECT_DONE(given_up, errc::cancelled_unsent);
    under_test.expire(at(5ms));
    EXPECT_DONE(too_late, errc::timed_out_unsent);
    EXPECT_PENDING(later);
    under_test.expire(at(20ms));
    EXPECT_EQ(write(), wire(command("GET", "a")));
    feed("$1\r\nv\r\n");
    EXPECT_DONE(later, error_code{});
    under_test.disconnected(at(21ms));
    under_test.connect_failed(errc::not_connected);
    auto& refused = make(command("GET", "d"));
    under_test.submit_later(refused, at(22ms), at(30ms));
    EXPECT_DONE(refused, errc::not_connected);
    EXPECT_EQ(under_test.stats().queued, 0u);
}

TEST_F(redis_pipeline, other_refusals_are_final_and_come_with_the_servers_words) {
    open();
    auto& refused = get("a");
    write();
    feed("-READONLY You can't write against a read only replica.\r\n");
    EXPECT_DONE(refused, errc::read_only);
    EXPECT_EQ(refused.text.error_text(), "READONLY You can't write against a read only replica.");
}

TEST_F(redis_pipeline, an_error_that_nobody_asked_for_is_the_connections) {
    open();
    EXPECT_EQ(under_test.feed("-ERR max number of clients reached\r\n", at(0ms)), errc::max_clients);
    EXPECT_EQ(under_test.error_text(), "ERR max number of clients reached");
    under_test.disconnected(at(0ms));
    open();
    EXPECT_EQ(under_test.feed(":1\r\n", at(0ms)), errc::protocol_error);
}

TEST_F(redis_pipeline, garbage_is_a_protocol_error) {
    open();
    auto& victim = get("a");
    write();
    EXPECT_EQ(under_test.feed("$1\r\nv\r\nHTTP/1.1 200 OK\r\n", at(0ms)), errc::protocol_error);
    EXPECT_DONE(victim, error_code{});
    EXPECT_NE(under_test.error_text(), "");
}

TEST_F(redis_pipeline, a_ping_is_answered_to_nobody) {
    open();
    under_test.ping();
    EXPECT_EQ(write(), wire(command("PING")));
    EXPECT_TRUE(under_test.outstanding());
    feed("+PONG\r\n");
    EXPECT_FALSE(under_test.outstanding());
}

TEST_F(redis_pipeline, replies_outstanding_are_bounded_tombstones_included) {
    redis::pipeline_limits limits;
    limits.max_queued_operations = 4;
    std::deque<probe> all;
    pipeline small{limits, nullptr};
    small.connected();
    small.open();
    for (int i = 0; i < 4; ++i)
        small.submit(all.emplace_back(command("PING"), 10ms), at(0ms));
    small.written(small.prepare_write().size());
    small.expire(at(10ms));
    EXPECT_EQ(small.stats().tombstones, 4u);
    for (int i = 0; i < 5; ++i)
        small.submit(all.emplace_back(command("PING")), at(10ms));
    EXPECT_EQ(all.back().result, errc::queue_full);
    EXPECT_EQ(small.prepare_write(), "") << "the server owes four replies already";
    EXPECT_FALSE(small.feed("+PONG\r\n", at(11ms)));
    EXPECT_EQ(small.prepare_write(), command("PING").payload());
}

TEST_F(redis_pipeline, closing_completes_everything) {
    open();
    auto& sent = make(command("GET", "a"));
    sent.idempotent = true;
    under_test.submit(sent, at(0ms));
    write();
    auto& queued = get("b");
    under_test.close();
    EXPECT_DONE(sent, errc::connection_lost);
    EXPECT_DONE(queued, errc::client_closed);
    EXPECT_DONE(get("c"), errc::client_closed);
    EXPECT_FALSE(under_test.next_deadline());
}

TEST(redis_pipeline_end, destroys_what_is_left_without_completing_it) {
    probe sent(command("PING")), queued(command("PING")), done(command{});
    {
        pipeline ends{redis::pipeline_limits{}, nullptr};
        ends.connected();
        ends.open();
        ends.submit(sent, at(0ms));
        ends.prepare_write();
        ends.submit(queued, at(0ms));
        ends.submit(done, at(0ms));
    }
    for (auto const* each : {&sent, &queued, &done}) {
        EXPECT_EQ(each->destroyed, 1);
        EXPECT_EQ(each->completed, 0);
    }
}

TEST(redis_deadline_heap, gives_operations_in_the_order_of_their_deadlines_whatever_is_taken_out) {
    std::mt19937 random(3);
    std::deque<probe> all;
    redis::deadline_heap heap;
    std::vector<probe*> in;
    for (int step = 0; step < 5000; ++step) {
        if (in.empty() || random() % 3) {
            auto& added = all.emplace_back(command{}, std::chrono::milliseconds(random() % 1000));
            heap.insert(added, added.deadline);
            in.push_back(&added);
        } else {
            auto const victim = in.begin() + static_cast<std::ptrdiff_t>(random() % in.size());
            heap.erase(**victim);
            in.erase(victim);
        }
        auto const earliest =
            std::min_element(in.begin(), in.end(), [](auto* a, auto* b) { return a->deadline < b->deadline; });
        ASSERT_TRUE(in.empty() || heap.next() == (*earliest)->deadline);
        ASSERT_EQ(heap.size(), in.size());
    }
}

} // namespace
