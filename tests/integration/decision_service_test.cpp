#include "support/decision_service.hpp"
#include "support/redis_server.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <thread>

// The decision service as programs and proxies speak to it; behind a real nginx: decision_nginx_test.cpp.

namespace weir::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class decision_service : public testing::Test {
protected:
    proxy::server_options options() const { return options_for(redis_); }

    static http_client connect(running_proxy const& service) { return connect_to_decisions(service); }

    redis_server redis_;
};

TEST_F(decision_service, authorizes_by_the_same_routes_identity_and_limits_as_the_proxy) {
    auto c = service_config({hourly("per-user", 2)});
    c.identity = {{config::identity_source::type::header, "x-user-id"}, {}};
    config::route chat;
    chat.name = "chat";
    chat.path = "/v1/chat/";
    chat.methods = {"POST"};
    chat.upstream = config::no_upstream;
    chat.limits = {0};
    c.routes.insert(c.routes.begin(), chat);
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    auto const first = client.get("/authorize", original("/v1/chat?stream=1", "POST") + "X-User-Id: alice\r\n");
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.body, "");
    EXPECT_EQ(first.field("RateLimit"), R"("per-user";r=1;t=3600)");
    EXPECT_EQ(first.field("RateLimit-Policy"), R"("per-user";q=2;w=3600)");
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:alice:chat"}), 1);
    for (auto const* spelling : {"/V1//chat/", "/v1/%63hat/x/..;a=1"})
        EXPECT_THAT(
            (std::array{200U, 429U, 403U}),
            testing::Contains(client.get("/authorize", original(spelling, "POST") + "X-User-Id: alice\r\n").status))
            << spelling;
    auto const refused =
        client.get("/authorize", original("http://api.example/v1/./chat", "POST") + "X-User-Id: alice\r\n");
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.field("Retry-After"), "3600");
    EXPECT_EQ(refused.field("Content-Type"), "application/problem+json");
    EXPECT_THAT(json::parse(refused.body).at("violated-policies"), ElementsAre("per-user"));
    // GET is another route, bob another user.
    EXPECT_EQ(client.get("/authorize", original("/v1/chat") + "X-User-Id: alice\r\n").status, 200);
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:alice:all"}), 1);
    EXPECT_EQ(client.get("/authorize", original("/v1/chat", "POST") + "X-User-Id: bob\r\n").status, 200);
    EXPECT_EQ(service.decided(outcome::deny), 1U);
}

TEST_F(decision_service, takes_any_method_and_the_path_behind_authorize) {
    running_proxy const service(service_config({hourly("per-user", 10)}), options());
    auto client = connect(service);
    auto const request = [](std::string_view line, std::string_view fields) {
        return std::string(line) + " HTTP/1.1\r\nHost: weir\r\n" + std::string(fields) + "\r\n";
    };
    EXPECT_EQ(client.exchange(request("POST /authorize", original("/a") + "Content-Length: 0\r\n")).status, 200);
    EXPECT_EQ(client.exchange(request("PUT /authorize/v1/chat?a=1", "X-Forwarded-For: 192.0.2.7\r\n")).status, 200);
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:192.0.2.7:all"}), 1);
    auto const head = client.exchange(request("HEAD /authorize", original("/a", "HEAD")), true);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(
        client.exchange(request("DELETE /authorize", original("/a", "DELETE") + "Content-Length: 5\r\n") + "12345")
            .status,
        200);
    EXPECT_EQ(client.exchange(request("BREW /authorize/pot", "")).status, 200);
    EXPECT_EQ(client.get("/authorize", original("/a")).status, 200); // the connection goes on after a body
}

TEST_F(decision_service, a_trusted_proxy_names_the_client) {
    running_proxy const service(service_config({hourly("per-ip", 1)}), options());
    auto client = connect(service);
    auto const ask = [&](std::string_view from) {
        return client.get("/authorize", original("/") + "X-Forwarded-For: " + std::string(from) + "\r\n").status;
    };
    EXPECT_EQ(ask("192.0.2.1"), 200U);
    EXPECT_EQ(ask("192.0.2.2"), 200U);
    EXPECT_EQ(ask("192.0.2.9, 192.0.2.1"), 429U);
}

TEST_F(decision_service, an_untrusted_peer_is_told_that_it_is_not_believed) {
    auto c = service_config({hourly("per-user", 10)});
    c.trusted_proxies = {asio::ip::make_network_v4("10.0.0.0/8")};
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    for (auto const* target : {"/authorize", "/authorize/a"}) {
        auto const answer = client.get(target, original("/a"));
        EXPECT_EQ(answer.status, 403);
        EXPECT_THAT(json::parse(answer.body).at("detail").get<std::string>(), HasSubstr("not in trusted_proxies"));
    }
    EXPECT_EQ(redis_.run({"KEYS", "rate:*:*"}), "");
}

TEST_F(decision_service, what_the_proxy_would_refuse_for_its_target_is_403_and_a_request_that_is_not_named_400) {
    auto c = service_config({hourly("per-user", 10)});
    c.routes[0].path = "/v1/";
    c.routes[0].methods = {"GET"};
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    for (auto const& fields : {original("/v2"), original("/v1/a", "POST"), original("/v1/%00"), original("/v1/../.."),
                               original("/v1/a", "CONNECT"), original("v1")}) {
        auto const answer = client.get("/authorize", fields);
        EXPECT_EQ(answer.status, 403) << fields;
        EXPECT_NE(json::parse(answer.body).at("detail"), "") << fields;
    }
    for (auto const& fields : {std::string{}, original("/v1/a") + "X-Forwarded-Uri: /v1/b\r\n"}) {
        auto const answer = client.get("/authorize", fields);
        EXPECT_EQ(answer.status, 400) << fields;
    }
    EXPECT_EQ(redis_.run({"KEYS", "rate:*:*"}), "");
}

TEST_F(decision_service, refuses_by_403_with_the_real_status_beside_it_where_the_proxy_asks_so) {
    running_proxy const service(service_config({hourly("per-user", 1)}), options());
    auto client = connect(service);
    EXPECT_EQ(client.get("/authorize?refusal=403", original("/")).status, 200);
    auto const refused = client.get("/authorize?refusal=403", original("/"));
    EXPECT_EQ(refused.status, 403);
    EXPECT_EQ(refused.field("X-Weir-Status"), "429");
    EXPECT_EQ(refused.field("Retry-After"), "3600");
    EXPECT_EQ(json::parse(refused.body).at("status"), 429);
    EXPECT_EQ(client.get("/authorize?refusal=403").field("X-Weir-Status"), "400");
    EXPECT_EQ(client.get("/authorize?refusal=403", original("/%00")).field("X-Weir-Status"), "403");
    EXPECT_EQ(client.get("/authorize", original("/")).field("X-Weir-Status"), "");
    for (auto const* query : {"?", "?refusal=429", "?refusal=403&x"})
        EXPECT_EQ(client.get(std::string("/authorize") + query, original("/")).status, 400) << query;
    // Behind a path it is the client's own.
    EXPECT_EQ(client.get("/authorize/?refusal=403").status, 429);
}

TEST_F(decision_service, checks_one_and_charges_it) {
    running_proxy const service(service_config({hourly("per-user", 10)}), options());
    auto client = connect(service);
    auto const answer = client.exchange(post(R"({"user":"alice","endpoint":"all","cost":3})"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.field("Content-Type"), "application/json");
    EXPECT_EQ(json::parse(answer.body), json::parse(R"({"allowed":true,"outcome":"allow","binding":"per-user",
        "never":false,"retry_after_ms":0,"rules":[{"rule":"per-user","allowed":true,"outcome":"allow","limit":10,
        "window_ms":3600000,"remaining":7,"never":false,"retry_after_ms":0,"reset_after_ms":3600000}]})"));
    // The very bucket that a proxied request of alice on the route "all" counts in.
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:alice:all"}), 1);
    auto const refused = json::parse(client.exchange(post(R"({"user":"alice","endpoint":"all","cost":8})")).body);
    EXPECT_EQ(refused.at("allowed"), false);
    EXPECT_EQ(refused.at("outcome"), "deny");
    EXPECT_GT(refused.at("retry_after_ms"), 3'500'000);
    EXPECT_EQ(refused.at("rules").at(0).at("remaining"), 7);
    auto const never = json::parse(client.exchange(post(R"({"user":"alice","endpoint":"all","cost":11})")).body);
    EXPECT_EQ(never.at("never"), true);
    EXPECT_EQ(never.at("retry_after_ms"), nullptr);
    auto const peek = json::parse(client.exchange(post(R"({"user":"alice","endpoint":"all","cost":0})")).body);
    EXPECT_EQ(peek.at("allowed"), true);
    EXPECT_EQ(peek.at("rules").at(0).at("remaining"), 7);
    EXPECT_EQ(service.decided(outcome::allow), 2U);
    EXPECT_EQ(service.decided(outcome::deny), 2U);
}

TEST_F(decision_service, asks_every_limit_or_the_one_that_is_named_each_by_its_own_parts) {
    auto everybody = hourly("everybody", 100);
    everybody.per = {{config::per_part::type::everyone, {}}};
    everybody.endpoint = config::endpoint_scope::any;
    auto by_path = hourly("by-path", 5);
    by_path.endpoint = config::endpoint_scope::path;
    by_path.cost = 2;
    running_proxy const service(service_config({hourly("per-user", 10), everybody, by_path}), options());
    auto client = connect(service);
    auto const all = json::parse(client.exchange(post(R"({"user":"alice","endpoint":"/V1/./Chat/"})")).body);
    EXPECT_EQ(all.at("rules").size(), 3U);
    EXPECT_EQ(all.at("rules").at(2).at("remaining"), 3); // its own cost
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:*:*"}), 1);
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:alice:/v1/chat"}), 1);
    auto const one = json::parse(client.exchange(post(R"({"user":"bob","endpoint":"all","rule":"per-user"})")).body);
    ASSERT_EQ(one.at("rules").size(), 1U);
    EXPECT_EQ(one.at("binding"), "per-user");
    EXPECT_EQ(redis_.integer({"EXISTS", "rate:bob:all"}), 1);
    auto const no_path = client.exchange(post(R"([{"user":"bob","endpoint":"all"}])"));
    EXPECT_EQ(no_path.status, 400);
    EXPECT_THAT(no_path.body, HasSubstr(R"("pointer":"/0/endpoint","detail":"the limit \"by-path\" counts by path)"));
}

TEST_F(decision_service, several_checks_are_decided_in_their_order_at_one_trip) {
    auto c = service_config({hourly("per-user", 3)});
    c.redis.timeout = std::chrono::seconds{10};
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    client.exchange(post(R"({"user":"warm","endpoint":"e"})")); // connected, and the script is loaded
    std::string body = "[";
    for (int i = 0; i < 5; ++i)
        body += R"({"user":"alice","endpoint":"e"},)";
    body += R"({"user":"bob","endpoint":"e"}])";
    // Numbered as the scripts are loaded: lua/rate_check.lua comes first.
    auto const& calls = service.server.counters()->worker(0).redis.scripts[0].commands;
    auto const before = calls.value();
    auto const answer = json::parse(client.exchange(post(body)).body);
    EXPECT_EQ(calls.value() - before, 1U);
    std::vector<bool> allowed;
    for (auto const& each : answer)
        allowed.push_back(each.at("allowed"));
    EXPECT_THAT(allowed, ElementsAre(true, true, true, false, false, true));
    EXPECT_EQ(answer.at(2).at("rules").at(0).at("remaining"), 0);
}

TEST_F(decision_service, a_check_with_an_id_is_charged_once_however_often_it_is_sent) {
    running_proxy const service(service_config({hourly("per-user", 10)}), options());
    auto client = connect(service);
    for (int i = 0; i < 3; ++i) {
        auto const said =
            json::parse(client.exchange(post(R"({"user":"a","endpoint":"e","cost":4,"request_id":"r1"})")).body);
        EXPECT_EQ(said.at("allowed"), true);
        EXPECT_EQ(said.at("request_id"), "r1");
        EXPECT_EQ(said.at("rules").at(0).at("remaining"), 6);
    }
    auto const reused = client.exchange(post(R"({"user":"a","endpoint":"e","cost":5,"request_id":"r1"})"));
    EXPECT_EQ(reused.status, 409);
    auto const beside = json::parse(client
                                        .exchange(post(R"([{"user":"a","endpoint":"e","cost":5,"request_id":"r1"},
        {"user":"a","endpoint":"e","cost":0}])"))
                                        .body);
    EXPECT_NE(beside.at(0).at("error"), "");
    EXPECT_EQ(beside.at(1).at("rules").at(0).at("remaining"), 6);
}

TEST_F(decision_service, reserves_extends_and_settles) {
    running_proxy const service(service_config({hourly("tokens", 100)}), options());
    auto client = connect(service);
    auto const send = [&](std::string const& path, json const& body) {
        return client.exchange(post(body.dump(), "Content-Type: application/json\r\n", path));
    };
    json const who{{"user", "a"}, {"endpoint", "e"}};
    auto const with = [&](json more) {
        more.update(who);
        return more;
    };
    auto const reserved = json::parse(send("/v1/reserve", with({{"cost", 60}})).body);
    EXPECT_EQ(reserved.at("rules").at(0).at("remaining"), 40);
    auto const id = reserved.at("request_id").get<std::string>();
    EXPECT_EQ(id.size(), 32U);
    auto const extended =
        json::parse(send("/v1/extend", with({{"cost", 20}, {"request_id", id}, {"keep_ms", 60000}})).body);
    EXPECT_EQ(extended.at("allowed"), true);
    EXPECT_EQ(extended.at("rules").at(0).at("remaining"), 20);
    EXPECT_EQ(json::parse(send("/v1/extend", with({{"cost", 30}, {"request_id", id}})).body).at("allowed"), false);
    EXPECT_EQ(json::parse(send("/v1/extend", with({{"request_id", id}})).body).at("allowed"), true);
    for (int i = 0; i < 2; ++i) { // settled again, it answers the same
        auto const settled = json::parse(send("/v1/settle", with({{"cost", 30}, {"request_id", id}})).body);
        EXPECT_EQ(settled.at("request_id"), id);
        EXPECT_EQ(settled.at("rules").at(0).at("reserved"), 80);
        EXPECT_EQ(settled.at("rules").at(0).at("refunded"), 50);
    }
    EXPECT_EQ(json::parse(send("/v1/check", with({{"cost", 0}})).body).at("rules").at(0).at("remaining"), 70);
    EXPECT_EQ(send("/v1/extend", with({{"request_id", id}})).status, 409);
    EXPECT_EQ(send("/v1/settle", with({{"request_id", "unknown"}})).status, 404);
    // Without a cost it is settled as it was reserved.
    send("/v1/reserve", with({{"cost", 10}, {"request_id", "mine"}}));
    EXPECT_EQ(json::parse(send("/v1/settle", with({{"request_id", "mine"}})).body).at("rules").at(0).at("refunded"), 0);
    EXPECT_EQ(json::parse(send("/v1/check", with({{"cost", 0}})).body).at("rules").at(0).at("remaining"), 60);
    redis_.kill();
    auto const away = send("/v1/settle", with({{"request_id", "mine"}}));
    EXPECT_EQ(away.status, 503);
    EXPECT_EQ(away.field("Retry-After"), "1");
}

TEST_F(decision_service, a_bad_body_is_refused_with_the_culprits_and_charges_nothing) {
    running_proxy const service(service_config({hourly("per-user", 10)}), options());
    auto client = connect(service);
    auto const errors = [&](std::string_view body) {
        auto const answer = client.exchange(post(body));
        EXPECT_EQ(answer.status, 400) << body;
        EXPECT_EQ(answer.field("Content-Type"), "application/problem+json");
        EXPECT_FALSE(answer.close);
        std::vector<std::string> lines;
        auto const problem = json::parse(answer.body);
        for (auto const& each : problem.at("errors"))
            lines.push_back(each.at("pointer").get<std::string>() + ": " + each.at("detail").get<std::string>());
        return lines;
    };
    EXPECT_THAT(errors("nonsense"), ElementsAre(HasSubstr("not JSON")));
    EXPECT_THAT(errors("[]"), ElementsAre(": must not be empty"));
    EXPECT_THAT(
        errors(R"([{"user":"a","endpoint":"e"},{"user":"a","endpoint":"e","cost":-1,"cots":1}])"),
        ElementsAre(HasSubstr("/1/cost: must be a whole number"), HasSubstr("/1/cots: unknown member; did you mean")));
    EXPECT_THAT(errors(R"([{"user":"a","endpoint":"e","rule":"per-usr"},{"user":"a","endpoint":"e","rule":"x"}])"),
                ElementsAre(R"(/0/rule: no limit is called "per-usr"; did you mean "per-user"?)",
                            HasSubstr(R"(/1/rule: no limit is called "x")")));
    EXPECT_EQ(redis_.run({"KEYS", "rate:*:*"}), "");
    EXPECT_EQ(client.exchange(post(R"({"user":"a","endpoint":"e"})")).status, 200);
}

TEST_F(decision_service, a_configuration_without_limits_or_with_too_many_wants_a_name) {
    std::vector<config::limit> many;
    for (int i = 0; i < 17; ++i)
        many.push_back(hourly("l" + std::to_string(i), 5));
    auto c = service_config(std::move(many));
    c.routes[0].limits = {0};
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    EXPECT_THAT(client.exchange(post(R"({"user":"a","endpoint":"e"})")).body, HasSubstr(R"(name one with \"rule\")"));
    EXPECT_EQ(client.exchange(post(R"({"user":"a","endpoint":"e","rule":"l16"})")).status, 200);
    running_proxy const unlimited(service_config({}), options());
    auto other = connect(unlimited);
    EXPECT_EQ(other.exchange(post(R"({"user":"a","endpoint":"e"})")).status, 400);
    EXPECT_EQ(other.get("/authorize", original("/")).status, 200);
}

TEST_F(decision_service, what_is_no_check_is_refused_by_the_right_status) {
    auto c = service_config({hourly("per-user", 10)});
    c.http.body_timeout = std::chrono::milliseconds{200};
    running_proxy const service(std::move(c), options());
    std::string const good = R"({"user":"a","endpoint":"e"})";
    auto const json_type = std::string("Content-Type: application/json\r\n");
    auto const status = [&](std::string const& request) { return connect(service).exchange(request).status; };
    EXPECT_EQ(status(post(good, "")), 415U);
    EXPECT_EQ(status(post(good, "Content-Type: text/plain\r\n")), 415U);
    EXPECT_EQ(status(post(good, "Content-Type: application/jsonp\r\n")), 415U);
    EXPECT_EQ(status(post(good, json_type + "Content-Encoding: gzip\r\n")), 415U);
    EXPECT_EQ(status(post(good, "Content-Type: Application/JSON ; charset=utf-8\r\n")), 200U);
    EXPECT_EQ(status(post(std::string(65'537, ' '), json_type)), 413U);
    EXPECT_EQ(status(post(std::string(65'536 - good.size(), ' ') + good, json_type)), 200U);
    EXPECT_EQ(status(post(good, json_type, "/v1/other")), 404U);
    EXPECT_EQ(status(post(good, json_type, "/v1/check?x=1")), 200U);
    auto const wrong = connect(service).get("/v1/check");
    EXPECT_EQ(wrong.status, 405);
    EXPECT_EQ(wrong.field("Allow"), "POST");
    auto slow = connect(service);
    auto const late =
        slow.exchange("POST /v1/check HTTP/1.1\r\nHost: weir\r\n" + json_type + "Content-Length: 9\r\n\r\n{");
    EXPECT_EQ(late.status, 408);
    EXPECT_TRUE(late.close);
    auto const chunked = "POST /v1/check HTTP/1.1\r\nHost: weir\r\n" + json_type + "Transfer-Encoding: chunked\r\n\r\n";
    EXPECT_EQ(status(chunked + "5\r\n{\"use\r\n16\r\nr\":\"a\",\"endpoint\":\"e\"}\r\n0\r\n\r\n"), 200U);
    EXPECT_EQ(status(chunked + "zz\r\n"), 400U);
    EXPECT_EQ(status(chunked + "11000\r\n" + std::string(0x11000, ' ') + "\r\n"), 413U);
}

TEST_F(decision_service, a_body_in_pieces_and_what_is_sent_behind_it_are_taken_apart) {
    running_proxy const service(service_config({hourly("per-user", 1'000'000)}), options());
    auto client = connect(service);
    std::string const head = "POST /v1/check HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n";
    client.send(head + "Expect: 100-continue\r\nContent-Length: 27\r\n\r\n");
    EXPECT_EQ(client.read().status, 100);
    EXPECT_EQ(client.exchange(R"({"user":"a","endpoint":"e"})").status, 200);
    // A chunked body cut everywhere, with the next request in the same packet as its end.
    auto const chunked =
        head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"use\r\n16\r\nr\":\"a\",\"endpoint\":\"e\"}\r\n0\r\n\r\n";
    auto const next = post(R"({"user":"b","endpoint":"e"})");
    auto const both = chunked + next;
    for (std::size_t cut = 1; cut < both.size(); ++cut) {
        client.send(both.substr(0, cut));
        client.send(both.substr(cut));
        ASSERT_EQ(client.read().status, 200) << cut;
        ASSERT_EQ(client.read().status, 200) << cut;
    }
}

TEST_F(decision_service, pipelined_requests_are_answered_in_their_order) {
    running_proxy const service(service_config({hourly("per-user", 2)}), options());
    auto client = connect(service);
    auto const authorize = "GET /authorize HTTP/1.1\r\nHost: weir\r\n" + original("/") + "\r\n";
    client.send(authorize + post(R"({"user":"127.0.0.1","endpoint":"all"})") + authorize +
                "GET /openapi.json HTTP/1.1\r\nHost: weir\r\n\r\n");
    EXPECT_EQ(client.read().status, 200);
    EXPECT_EQ(json::parse(client.read().body).at("rules").at(0).at("remaining"), 0);
    EXPECT_EQ(client.read().status, 429);
    EXPECT_EQ(json::parse(client.read().body).at("openapi"), "3.1.0");
}

TEST_F(decision_service, a_token_is_asked_for_where_one_is_configured) {
    auto c = service_config({hourly("per-user", 10)});
    c.decision->token = "0123456789abcdef";
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    std::string const good = R"({"user":"a","endpoint":"e"})";
    auto const with = [&](std::string const& authorization) {
        return client.exchange(post(good, "Content-Type: application/json\r\n" + authorization));
    };
    auto const refused = with("");
    EXPECT_EQ(refused.status, 401);
    EXPECT_EQ(refused.field("WWW-Authenticate"), "Bearer");
    for (auto const* wrong : {"0123456789abcdeg", "0123456789abcde", "0123456789abcdef0", ""})
        EXPECT_EQ(with("Authorization: Bearer " + std::string(wrong) + "\r\n").status, 401) << wrong;
    EXPECT_EQ(with("Authorization: Basic 0123456789abcdef\r\n").status, 401);
    EXPECT_EQ(redis_.run({"KEYS", "rate:*:*"}), "");
    EXPECT_EQ(with("Authorization: bearer 0123456789abcdef\r\n").status, 200);
    EXPECT_EQ(client.get("/authorize", original("/")).status, 200); // trusted_proxies speak for it
}

TEST_F(decision_service, admits_exactly_the_limit_through_both_doors_at_once) {
    auto c = service_config({hourly("per-user", 100)});
    c.workers = 2;
    c.redis.timeout = std::chrono::seconds{10}; // past it, each process would decide for itself
    c.identity = {{config::identity_source::type::header, "x-user-id"}};
    running_proxy const service(std::move(c), options());
    std::atomic<int> admitted{0}, refused{0}, other{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t)
        threads.emplace_back([&, t] {
            auto client = connect(service);
            for (int i = 0; i < 25; ++i) {
                if (t % 2 == 0) {
                    auto const status = client.get("/authorize", original("/") + "X-User-Id: alice\r\n").status;
                    ++(status == 200 ? admitted : status == 429 ? refused : other);
                    continue;
                }
                auto const answer = client.exchange(post(R"({"user":"alice","endpoint":"all"})"));
                bool const allowed = answer.status == 200 && json::parse(answer.body).at("allowed").get<bool>();
                ++(allowed ? admitted : answer.status == 200 ? refused : other);
            }
        });
    for (auto& each : threads)
        each.join();
    EXPECT_EQ(admitted, 100);
    EXPECT_EQ(refused, 300);
    EXPECT_EQ(other, 0);
    EXPECT_EQ(service.decided(outcome::allow), 100U);
    EXPECT_EQ(service.decided(outcome::deny) + service.decided(outcome::deny_local), 300U);
}

TEST_F(decision_service, while_redis_is_dead_each_limit_decides_as_it_says) {
    auto closed = hourly("closed", 5);
    closed.rule.on_redis_failure = on_redis_failure::closed;
    auto c = service_config({hourly("local", 2), closed});
    c.routes[0].limits = {0};
    config::route strict;
    strict.name = "strict";
    strict.path = "/strict/";
    strict.upstream = config::no_upstream;
    strict.limits = {1};
    c.routes.insert(c.routes.begin(), strict);
    running_proxy const service(std::move(c), options());
    auto client = connect(service);
    EXPECT_EQ(client.get("/authorize", original("/")).status, 200);
    redis_.kill();
    EXPECT_EQ(client.get("/authorize", original("/")).status, 200);
    EXPECT_EQ(client.get("/authorize", original("/")).status, 200);
    EXPECT_EQ(client.get("/authorize", original("/")).status, 429);
    auto const answer = client.get("/authorize", original("/strict/x"));
    EXPECT_EQ(answer.status, 503);
    EXPECT_NE(answer.field("Retry-After"), "");
    auto const checked = json::parse(client
                                         .exchange(post(R"([{"user":"u","endpoint":"e","rule":"local"},
        {"user":"u","endpoint":"e","rule":"closed"}])"))
                                         .body);
    EXPECT_EQ(checked.at(0).at("outcome"), "error_local");
    EXPECT_EQ(checked.at(0).at("allowed"), true);
    EXPECT_EQ(checked.at(1).at("outcome"), "error_closed");
    EXPECT_EQ(checked.at(1).at("allowed"), false);
    EXPECT_GE(service.decided(outcome::error_local), 4U);
    EXPECT_EQ(service.decided(outcome::error_closed), 2U);
}

} // namespace
} // namespace weir::test
