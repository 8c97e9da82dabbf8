#include "support/decision_service.hpp"
#include "support/redis_fixture.hpp"
#include "support/redis_server.hpp"

#include <weir/circuit/script.hpp>
#include <weir/metrics/collector.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>

#include <thread>

// Circuits through the decision service: instances of it behind what might be a load balancer, with a real Redis.

namespace weir::test {
namespace {

using circuit::state;
using nlohmann::json;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr char json_type[] = "Content-Type: application/json\r\n";

class decision_circuit : public testing::Test {
protected:
    /// Four calls are enough to judge by. Nothing is over by itself while a test runs, unless it says so.
    decision_circuit() {
        how_.minimum_calls = 4;
        how_.open_for = how_.open_max = 60s;
        how_.half_open_for = how_.probe_timeout = 60s;
        how_.jitter = 0;
    }

    config::config settings() const {
        auto c = service_config({});
        c.circuits.push_back({"api", how_});
        c.redis.timeout = 5s;
        return c;
    }
    proxy::server_options options() const { return options_for(redis_); }

    static http_response send(running_proxy const& to, std::string const& action, std::string const& body,
                              std::string const& fields = {}, std::string const& name = "api") {
        return connect_to_decisions(to).exchange(post(body, json_type + fields, "/v1/circuits/" + name + '/' + action));
    }
    static json permit(running_proxy const& of) {
        auto const answer = send(of, "permit", "{}");
        EXPECT_EQ(answer.status, 200) << answer.body;
        auto made = json::parse(answer.body);
        EXPECT_EQ(answer.field("Retry-After").empty(), made["granted"] == true) << answer.body;
        return made;
    }
    static json result(running_proxy const& at, json const& of, std::string const& outcome, json const& more = {}) {
        EXPECT_EQ(of["granted"], true) << of;
        json body{{"permit", of.value("permit", "none")}, {"outcome", outcome}};
        body.update(more.is_null() ? json::object() : more);
        auto const answer = send(at, "result", body.dump());
        EXPECT_EQ(answer.status, 200) << answer.body;
        return json::parse(answer.body);
    }

    template <class Condition>
    static void until(Condition const& holds) {
        auto const deadline = std::chrono::steady_clock::now() + http_client::patience;
        while (!holds())
            ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    }
    static bool is(running_proxy const& service, state what) {
        auto const& counters = *service.server.counters();
        for (std::size_t i = 0; i < counters.workers(); ++i)
            if (counters.worker(i).circuits[0].state.value() != static_cast<std::int64_t>(what))
                return false;
        return true;
    }
    void until_both(running_proxy const& one, running_proxy const& other, state what) {
        until([&] { return is(one, what) && is(other, what); });
    }
    std::string told(std::string_view field) { return redis_.run({"HGET", "circuit:api", field}); }

    /// By hand, over the fleet.
    void set(std::optional<state> to) {
        asio::io_context io{1};
        auto with = patient_options(redis_.url());
        with.scripts = circuit::scripts();
        redis::client client(io, with);
        circuit::script_calls const calls("", "api", key_layout::standalone, how_, {}, "test");
        run(io, [&]() -> asio::awaitable<void> {
            redis::command command;
            circuit::script_reply reply;
            calls.encode(command, circuit::override_request{to, {}, "a test", "to see"});
            auto const [ec] = co_await client.async_exec(command, reply, {}, use_result);
            EXPECT_FALSE(ec) << ec.message();
        });
    }
    void set(std::optional<state> to, running_proxy const& one, running_proxy const& other, state then) {
        set(to);
        until_both(one, other, then);
    }
    void half_open(running_proxy const& one, running_proxy const& other) {
        set(state::open, one, other, state::open);
        set(state::half_open, one, other, state::half_open);
    }

    redis_server redis_;
    circuit::settings how_;
};

TEST_F(decision_circuit, failures_brought_to_another_instance_than_gave_leave_open_it_for_all) {
    running_proxy const one(settings(), options()), other(settings(), options());
    auto const first = permit(one);
    EXPECT_EQ(first["granted"], true);
    EXPECT_EQ(first["name"], "api");
    EXPECT_EQ(first["state"], "closed");
    EXPECT_EQ(result(other, first, "failure", {{"error", "it\nburns"}})["counted"], true);
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(result(other, permit(one), "failure", {{"error", "it\nburns"}, {"duration_ms", 7}})["counted"], true);
    until_both(one, other, state::open);
    for (auto const* each : {&one, &other}) {
        auto const refused = permit(*each);
        EXPECT_EQ(refused["granted"], false);
        EXPECT_EQ(refused["state"], "open");
        EXPECT_GT(refused["retry_after_ms"].get<int>(), 40'000);
        EXPECT_LE(refused["retry_after_ms"].get<int>(), 60'000);
        EXPECT_FALSE(refused.contains("permit"));
        EXPECT_GT(std::stoi(send(*each, "permit", "{}").field("Retry-After")), 40);
    }
    EXPECT_EQ(told("state"), "open");
    auto const why = json::parse(told("tripped"));
    EXPECT_EQ(why["failures"], 4);
    EXPECT_EQ(why["errors"][0], "it burns");
}

TEST_F(decision_circuit, each_outcome_counts_as_what_it_is) {
    how_.slow_call = 1s;
    how_.minimum_calls = 1000;
    running_proxy const service(settings(), options());
    EXPECT_EQ(result(service, permit(service), "success")["counted"], true);
    EXPECT_EQ(result(service, permit(service), "success", {{"duration_ms", 1000}})["counted"], true);
    EXPECT_EQ(result(service, permit(service), "success", {{"duration_ms", 1001}})["counted"], true);
    EXPECT_EQ(result(service, permit(service), "failure")["counted"], true);
    EXPECT_EQ(result(service, permit(service), "local_failure")["counted"], true);
    auto const ignored = result(service, permit(service), "ignored");
    EXPECT_EQ(ignored["counted"], false);
    EXPECT_EQ(ignored["reason"], "ignored");
    until([&] { return told("calls") == "4"; });
    EXPECT_EQ(told("failures"), "1") << "that of its own side is not the fleet's";
    EXPECT_EQ(told("slow"), "1");
}

TEST_F(decision_circuit, a_duration_that_is_not_said_is_from_the_permit_to_its_result) {
    how_.slow_call = 20ms;
    how_.minimum_calls = 1000;
    running_proxy const one(settings(), options()), other(settings(), options());
    auto const slow = permit(one);
    std::this_thread::sleep_for(30ms); // it is time that is measured
    result(other, slow, "success");
    result(other, permit(one), "success", {{"duration_ms", 0}});
    until([&] { return told("calls") == "2"; });
    EXPECT_EQ(told("slow"), "1");
}

TEST_F(decision_circuit, a_permit_has_one_result_in_an_instance_whichever_worker_takes_it) {
    auto c = settings();
    c.workers = 4;
    how_.minimum_calls = 1000;
    c.circuits.front().how = how_;
    running_proxy const service(c, options());
    auto const once = permit(service);
    std::atomic<int> counted{0}, used{0};
    std::vector<std::thread> all;
    for (int i = 0; i < 16; ++i)
        all.emplace_back([&] {
            auto const answer = result(service, once, "failure");
            (answer["counted"] == true ? counted : used) += 1;
            EXPECT_EQ(answer.value("reason", "used"), "used");
        });
    for (auto& each : all)
        each.join();
    EXPECT_EQ(counted, 1);
    EXPECT_EQ(used, 15);
}

TEST_F(decision_circuit, a_result_of_another_epoch_changes_nothing) {
    running_proxy const one(settings(), options()), other(settings(), options());
    std::vector<json> old;
    for (int i = 0; i < 8; ++i)
        old.push_back(permit(one));
    set(state::open, one, other, state::open);
    EXPECT_EQ(result(one, old[0], "failure")["reason"], "stale");
    EXPECT_EQ(result(other, old[1], "failure")["reason"], "stale");
    set(state::closed, one, other, state::closed);
    for (std::size_t i = 2; i < old.size(); ++i)
        EXPECT_EQ(result(i % 2 == 0 ? one : other, old[i], "failure")["reason"], "stale");
    result(other, permit(one), "success");
    until([&] { return told("calls") == "1"; });
    EXPECT_EQ(told("failures"), "0");
    EXPECT_EQ(told("state"), "closed");
}

TEST_F(decision_circuit, half_open_grants_exactly_as_many_probes_over_all_instances) {
    running_proxy const one(settings(), options()), other(settings(), options());
    half_open(one, other);
    std::vector<json> probes;
    for (int i = 0; i < 3; ++i)
        probes.push_back(permit(i % 2 == 0 ? one : other));
    for (auto const& each : probes) {
        EXPECT_EQ(each["granted"], true) << each;
        EXPECT_EQ(each["state"], "half_open");
        EXPECT_EQ(each["result_within_ms"], 60'000);
    }
    for (auto const* each : {&one, &other}) {
        auto const refused = permit(*each);
        EXPECT_EQ(refused["granted"], false);
        EXPECT_EQ(refused["state"], "half_open");
        EXPECT_GT(refused["retry_after_ms"].get<int>(), 0);
    }
    for (std::size_t i = 0; i < probes.size(); ++i) // where it was not given
        EXPECT_EQ(result(i % 2 == 0 ? other : one, probes[i], "success")["counted"], true);
    until_both(one, other, state::closed);
    EXPECT_EQ(told("state"), "closed");
}

TEST_F(decision_circuit, many_at_once_get_no_more_probes_than_there_are) {
    auto c = settings();
    c.workers = 2;
    running_proxy const one(c, options()), other(c, options());
    half_open(one, other);
    std::atomic<int> granted{0};
    std::vector<std::thread> all;
    for (int i = 0; i < 16; ++i)
        all.emplace_back([&, i] { granted += permit(i % 2 == 0 ? one : other)["granted"] == true ? 1 : 0; });
    for (auto& each : all)
        each.join();
    EXPECT_EQ(granted, 3);
}

TEST_F(decision_circuit, probes_that_fail_open_it_again_and_a_second_result_of_one_does_not_count) {
    running_proxy const one(settings(), options()), other(settings(), options());
    half_open(one, other);
    auto const first = permit(one), second = permit(one);
    // Each instance takes it, and Redis counts it once.
    EXPECT_EQ(result(one, first, "failure")["counted"], true);
    EXPECT_EQ(result(one, first, "failure")["reason"], "used");
    until([&] { return told("done") == "1"; });
    result(other, first, "failure");
    result(other, second, "failure");
    until([&] { return told("done") == "2"; });
    EXPECT_EQ(told("failed"), "2");
    EXPECT_EQ(told("state"), "half_open") << "three judge";
    result(other, permit(other), "failure");
    until_both(one, other, state::open);
    EXPECT_EQ(json::parse(told("tripped"))["reason"], "probes_failed");
}

TEST_F(decision_circuit, a_probe_that_is_given_back_is_another_s) {
    how_.half_open_calls = 1;
    running_proxy const one(settings(), options()), other(settings(), options());
    half_open(one, other);
    auto const probe = permit(one);
    EXPECT_EQ(permit(other)["granted"], false);
    EXPECT_EQ(result(other, probe, "ignored")["reason"], "ignored");
    until([&] { return permit(other)["granted"] == true; });
}

TEST_F(decision_circuit, the_probe_of_a_caller_that_died_is_free_again_and_its_late_result_changes_nothing) {
    how_.half_open_calls = 1;
    how_.probe_timeout = 100ms;
    running_proxy const one(settings(), options()), other(settings(), options());
    half_open(one, other);
    auto const dead = permit(one);
    EXPECT_EQ(dead["granted"], true);
    json next;
    until([&] {
        next = permit(other);
        return next["granted"] == true;
    });
    result(one, dead, "failure");
    result(one, next, "success");
    until([&] { return told("state") != "half_open"; });
    EXPECT_EQ(told("state"), "closed") << "by the result of the second alone";
}

TEST_F(decision_circuit, who_leaves_while_he_waits_for_a_probe_takes_none_with_him) {
    running_proxy const one(settings(), options()), other(settings(), options());
    half_open(one, other);
    auto const waiting = [&] { return one.server.counters()->worker(0).requests_in_flight.value(); };
    redis_.pause();
    {
        auto leaving = connect_to_decisions(one);
        leaving.send(post("{}", json_type, "/v1/circuits/api/permit"));
        until([&] { return waiting() == 1; });
    }
    until([&] { return waiting() == 0; }); // else it would be an answer that nobody reads
    redis_.resume();
    int granted = 0;
    until([&] {
        for (auto const* each : {&one, &other}) // who asked for his may keep it for the next
            granted += permit(*each)["granted"] == true ? 1 : 0;
        return granted >= 3;
    });
    EXPECT_EQ(granted, 3);
    EXPECT_EQ(permit(one)["granted"], false);
    EXPECT_EQ(permit(other)["granted"], false);
}

TEST_F(decision_circuit, what_is_set_by_hand_holds) {
    running_proxy const one(settings(), options()), other(settings(), options());
    set(state::forced_open, one, other, state::forced_open);
    auto const refused = permit(one);
    EXPECT_EQ(refused["granted"], false);
    EXPECT_EQ(refused["state"], "forced_open");
    EXPECT_EQ(refused["retry_after_ms"], 1000) << "nobody knows";

    set(state::disabled, one, other, state::disabled);
    for (int i = 0; i < 10; ++i) {
        auto const leave = permit(one);
        EXPECT_EQ(leave["granted"], true);
        EXPECT_EQ(result(other, leave, "failure")["reason"], "disabled");
    }

    set(state::metrics_only, one, other, state::metrics_only);
    for (int i = 0; i < 10; ++i) {
        auto const leave = permit(one);
        EXPECT_EQ(leave["granted"], true);
        EXPECT_EQ(result(other, leave, "failure")["counted"], true);
    }
    EXPECT_EQ(permit(other)["state"], "metrics_only");

    set(std::nullopt, one, other, state::closed);
    EXPECT_EQ(result(other, permit(one), "success")["counted"], true);
}

TEST_F(decision_circuit, without_redis_each_instance_goes_on_by_what_it_sees) {
    running_proxy const one(settings(), options()), other(settings(), options());
    redis_.kill();
    for (int i = 0; i < 4; ++i) {
        auto const leave = permit(one);
        EXPECT_EQ(leave["granted"], true);
        EXPECT_EQ(result(one, leave, "failure")["counted"], true);
    }
    EXPECT_EQ(permit(one)["granted"], false);
    EXPECT_EQ(permit(one)["state"], "open");
    EXPECT_EQ(permit(other)["granted"], true);
    EXPECT_EQ(result(one, permit(other), "success")["reason"], "stale") << "closed there, open here";
    EXPECT_EQ(result(other, permit(other), "success")["counted"], true);
}

TEST_F(decision_circuit, a_half_open_circuit_that_loses_redis_tries_on_alone) {
    how_.half_open_calls = 1;
    auto c = settings();
    c.redis.timeout = 200ms;
    running_proxy const one(c, options()), other(c, options());
    half_open(one, other);
    redis_.kill();
    json probe;
    until([&] {
        probe = permit(one);
        return probe["granted"] == true;
    });
    EXPECT_EQ(probe["state"], "half_open");
    EXPECT_EQ(result(other, probe, "success")["reason"], "stale") << "it is not its own";
    auto const again =
        json::parse(send(one, "result", json{{"permit", probe["permit"]}, {"outcome", "success"}}.dump()).body);
    EXPECT_EQ(again["counted"], true);
    EXPECT_EQ(permit(one)["state"], "closed");
}

TEST_F(decision_circuit, closed_and_open_no_call_costs_a_trip_to_redis) {
    running_proxy const one(settings(), options()), other(settings(), options());
    auto const all = [&] {
        auto const text = redis_.run({"INFO", "stats"});
        return std::stoll(text.substr(text.find(':', text.find("total_commands_processed")) + 1));
    };
    // Of two workers: a report every 100 ms at most, and a poll each second.
    auto const allowed = [](auto since) { return 2 * ((std::chrono::steady_clock::now() - since) / 100ms + 2); };
    auto begun = std::chrono::steady_clock::now();
    auto scripts = redis_.calls("evalsha");
    auto commands = all();
    auto at_one = connect_to_decisions(one), at_other = connect_to_decisions(other);
    for (int i = 0; i < 1000; ++i) {
        auto const leave = at_one.exchange(post("{}", json_type, "/v1/circuits/api/permit"));
        auto const text = json::parse(leave.body).at("permit").get<std::string>();
        auto const body = json{{"permit", text}, {"outcome", "success"}}.dump();
        EXPECT_THAT(at_other.exchange(post(body, json_type, "/v1/circuits/api/result")).body, HasSubstr("true"));
    }
    EXPECT_LE(redis_.calls("evalsha") - scripts, allowed(begun));
    EXPECT_LT(redis_.calls("evalsha") - scripts, 500) << "the test itself was too slow to show anything";
    auto const leave = permit(one);
    set(state::open, one, other, state::open);
    begun = std::chrono::steady_clock::now();
    scripts = redis_.calls("evalsha");
    for (int i = 0; i < 1000; ++i)
        EXPECT_THAT(at_one.exchange(post("{}", json_type, "/v1/circuits/api/permit")).body, HasSubstr("false"));
    EXPECT_EQ(result(other, leave, "failure")["reason"], "stale");
    EXPECT_LE(redis_.calls("evalsha") - scripts, allowed(begun));
    EXPECT_LT(all() - commands, 1000) << "nor any other command, for 3000 calls";
}

TEST_F(decision_circuit, a_permit_that_was_tampered_with_is_refused) {
    auto c = settings();
    c.circuits.push_back({"db", how_});
    c.decision->token = "0123456789abcdef";
    auto with_other_token = c;
    with_other_token.decision->token = "fedcba9876543210";
    running_proxy const service(c, options()), stranger(with_other_token, options());
    std::string const bearer = "Authorization: Bearer 0123456789abcdef\r\n";
    auto const text = json::parse(send(service, "permit", "{}", bearer).body).at("permit").get<std::string>();
    auto const bring = [&](std::string const& what, std::string const& to = "api") {
        return send(service, "result", json{{"permit", what}, {"outcome", "failure"}}.dump(), bearer, to);
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto changed = text;
        changed[i] = changed[i] == '1' ? '2' : '1';
        auto const answer = bring(changed);
        EXPECT_EQ(answer.status, 400) << changed;
        EXPECT_THAT(answer.body, HasSubstr("/permit: must be the text that came with the permit of this circuit"));
    }
    for (auto const& each : {std::string{}, std::string("c1"), text + "0", text.substr(1), text + text})
        EXPECT_EQ(bring(each).status, 400) << each;
    EXPECT_EQ(bring(text, "db").status, 400) << "of another circuit";
    EXPECT_EQ(send(stranger, "result", json{{"permit", text}, {"outcome", "failure"}}.dump(),
                   "Authorization: Bearer fedcba9876543210\r\n")
                  .status,
              400)
        << "by another's secret";
    EXPECT_THAT(bring(text).body, HasSubstr(R"("counted":true)"));
}

TEST_F(decision_circuit, what_is_wrong_with_a_request_is_named) {
    running_proxy const service(settings(), options());
    auto const complaint = [&](std::string const& action, std::string const& body) {
        auto const answer = send(service, action, body);
        EXPECT_EQ(answer.status, 400) << body;
        return answer.body;
    };
    EXPECT_THAT(complaint("permit", ""), HasSubstr("not JSON"));
    EXPECT_THAT(complaint("permit", "\xff"), HasSubstr("not JSON"));
    EXPECT_THAT(complaint("permit", "[]"), HasSubstr("must be an object"));
    EXPECT_THAT(complaint("permit", R"({"wait_ms":1})"), HasSubstr("/wait_ms: unknown member"));
    EXPECT_THAT(complaint("result", "{}"), HasSubstr(R"(the member \"permit\" is missing)"));
    EXPECT_THAT(complaint("result", "{}"), HasSubstr(R"(the member \"outcome\" is missing)"));
    EXPECT_THAT(complaint("result", R"({"permit":1,"outcome":"meh","duration":1})"),
                AllOf(HasSubstr(R"("pointer":"/permit","detail":"must be the text)"),
                      HasSubstr(R"("pointer":"/outcome","detail":"must be \"success\",)"),
                      HasSubstr(R"(did you mean \"duration_ms\"?)")));
    EXPECT_THAT(complaint("result", R"({"duration_ms":86400001})"), HasSubstr("/duration_ms: must be a whole number"));
    EXPECT_THAT(complaint("result", R"({"error":7})"), HasSubstr("/error: must be a text"));
    json many;
    for (int i = 0; i < 100; ++i)
        many["x" + std::to_string(i)] = i;
    EXPECT_EQ(json::parse(complaint("permit", many.dump()))["errors"].size(), 16u);

    auto const unknown = send(service, "permit", "{}", {}, "apy");
    EXPECT_EQ(unknown.status, 404);
    EXPECT_THAT(unknown.body, HasSubstr(R"(did you mean \"api\"?)"));
    EXPECT_EQ(send(service, "permit", "{}", {}, "%61pi").status, 200);
    EXPECT_EQ(send(service, "permit", "{}", {}, "%zz").status, 404);
    EXPECT_EQ(send(service, "permit", "{}", {}, "").status, 404);
    EXPECT_EQ(send(service, "open", "{}").status, 404);
    EXPECT_EQ(connect_to_decisions(service).get("/v1/circuits/api/permit").status, 405);
}

TEST_F(decision_circuit, without_the_token_nobody_is_answered) {
    auto c = settings();
    c.decision->token = "0123456789abcdef";
    running_proxy const service(c, options());
    for (auto const* action : {"permit", "result"})
        for (auto const* name : {"api", "none"})
            EXPECT_EQ(send(service, action, "{}", {}, name).status, 401);
}

TEST_F(decision_circuit, the_circuits_of_upstreams_and_of_targets_are_there_too) {
    auto c = settings();
    c.circuits.push_back({"up", how_});
    c.circuits.push_back({"node", how_});
    config::upstream up;
    up.name = "u";
    up.targets.push_back({"127.0.0.1", 9, "127.0.0.1:9"});
    up.circuit = 1;
    up.target_circuit = 2;
    c.upstreams.push_back(up);
    running_proxy const service(c, options());
    for (auto const* each : {"api", "up", "node@127.0.0.1:9", "node%40127.0.0.1:9"})
        EXPECT_EQ(send(service, "permit", "{}", {}, each).status, 200) << each;
    EXPECT_EQ(send(service, "permit", "{}", {}, "node").status, 404) << "what those of the targets are like";
}

TEST_F(decision_circuit, what_is_asked_here_is_counted_as_the_proxy_s) {
    running_proxy const one(settings(), options()), other(settings(), options());
    set(state::open, one, other, state::open);
    for (int i = 0; i < 3; ++i)
        permit(one);
    auto const text = prometheus::TextSerializer{}.Serialize(metrics::collector(one.server.counters()).Collect());
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_state{circuit="api",state="open"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_transitions_total{circuit="api",from="closed",to="open"} 1)"));
    EXPECT_THAT(text, HasSubstr(R"(weir_circuit_refused_total{circuit="api"} 3)"));
}

TEST_F(decision_circuit, permits_outlive_a_reload_and_new_circuits_come_with_it) {
    auto c = settings();
    running_proxy service(c, options());
    auto const before = permit(service);
    c.circuits.push_back({"db", how_});
    ASSERT_TRUE(service.server.reload(std::make_shared<config::config const>(c)).empty());
    until([&] { return send(service, "permit", "{}", {}, "db").status == 200; });
    EXPECT_EQ(result(service, before, "success")["counted"], true);
}

} // namespace
} // namespace weir::test
