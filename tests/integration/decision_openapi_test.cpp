#include "support/decision_service.hpp"
#include "support/paths.hpp"
#include "support/redis_server.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <fstream>

// docs/openapi.json against what the decision service really answers: every path, method and status in it.

namespace weir::test {
namespace {

using nlohmann::json;

/// Answers, in the form that tests/support/openapi_check.py reads.
class answers {
public:
    http_response add(std::string const& path, std::string const& method, http_response answer) {
        json fields = json::object();
        for (auto const& each : answer.fields)
            fields[std::string(each.name_string())] = std::string(each.value());
        all_.push_back({{"path", path},
                        {"method", method},
                        {"status", answer.status},
                        {"headers", fields},
                        {"body", answer.body}});
        return answer;
    }

    /// What the document and they do not agree in.
    std::string faults() const {
        temporary_directory const directory;
        auto const file = directory.path() + "/answers.json";
        std::ofstream(file) << json(all_);
        auto const command = "python3 -W ignore " + source_path("tests/support/openapi_check.py") + ' ' +
                             source_path("docs/openapi.json") + " < " + file + " 2>&1";
        auto* const tool = ::popen(command.c_str(), "r");
        std::string said;
        for (int byte = std::fgetc(tool); byte != EOF; byte = std::fgetc(tool))
            said += static_cast<char>(byte);
        auto const status = ::pclose(tool);
        return status == 0 ? std::string{} : said + "exit code " + std::to_string(status);
    }

private:
    std::vector<json> all_;
};

class decision_openapi : public testing::Test {
protected:
    decision_openapi() {
        auto closed = hourly("closed", 5);
        closed.rule.on_redis_failure = on_redis_failure::closed;
        auto c = service_config({hourly("per-user", 2), closed});
        c.routes[0].limits = {0};
        c.http.body_timeout = std::chrono::milliseconds{200};
        c.redis.timeout = std::chrono::seconds{5};
        config::route strict;
        strict.name = "strict";
        strict.path = "/strict/";
        strict.upstream = config::no_upstream;
        strict.limits = {1};
        c.routes.insert(c.routes.begin(), strict);
        c.routes[1].path = "/v1/";
        c.circuits.push_back({"api", {}});
        c.circuits.front().how.minimum_calls = 1;
        auto const how = options_for(redis_);
        auto with_token = c;
        with_token.decision->token = "0123456789abcdef";
        service_.emplace(std::move(c), how);
        guarded_.emplace(std::move(with_token), how);
    }

    http_response get(std::string const& target, std::string const& fields = {}) {
        return connect_to_decisions(*service_).get(target, fields);
    }
    http_response send(std::string const& request) { return connect_to_decisions(*service_).exchange(request); }

    void authorize(answers& all) {
        for (int i = 0; i < 3; ++i) // 200, 200, 429
            all.add("/authorize", "get", get("/authorize", original("/v1/a")));
        all.add("/authorize", "get", get("/authorize?refusal=403", original("/v1/a")));
        all.add("/authorize", "get", get("/authorize"));
        all.add("/authorize", "get", get("/authorize", original("/none")));
        all.add("/authorize/{path}", "get", get("/authorize/v1/a", "X-Forwarded-For: 192.0.2.1\r\n"));
        all.add("/authorize/{path}", "get", get("/authorize/v1/a"));
        all.add("/authorize/{path}", "get", get("/authorize/none"));
    }

    void check(answers& all) {
        auto const add = [&](http_response answer) { all.add("/v1/check", "post", std::move(answer)); };
        add(send(post(R"({"user":"u","endpoint":"e"})")));
        add(send(
            post(R"([{"user":"u","endpoint":"e","cost":9,"rule":"per-user"},{"user":"u","endpoint":"e","cost":0}])")));
        add(send(post(R"([{"user":"","cost":-1,"x":1}])")));
        add(send(post("nonsense")));
        add(connect_to_decisions(*guarded_).exchange(post("{}")));
        add(send(post("{}", "")));
        add(send(post(std::string(70'000, ' '))));
        add(send("POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"));
        // In the document it stands where a client would look for it: beside the method that is wanted.
        add(get("/v1/check"));
    }

    /// One request through its life, and what goes wrong with it.
    void reserve(answers& all) {
        auto const add = [&](std::string const& path, std::string const& body) {
            all.add(path, "post", send(post(body, "Content-Type: application/json\r\n", path)));
        };
        std::string const one = R"({"user":"u","endpoint":"r","rule":"per-user","request_id":"1")";
        for (auto const* path : {"/v1/reserve", "/v1/extend", "/v1/settle"}) {
            add(path, one + "}");
            add(path, one + R"(,"cost":-1})");
            all.add(path, "post", connect_to_decisions(*guarded_).exchange(post("{}", "", path)));
            all.add(path, "post", send(post("{}", "", path)));
            all.add(path, "post", send(post(std::string(70'000, ' '), "", path)));
            all.add(path, "post", get(path));
            all.add(path, "post",
                    send("POST " + std::string(path) +
                         " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"));
            add(path, std::string(70'000, ' '));
        }
        add("/v1/reserve", one + R"(,"cost":2})");
        add("/v1/check", one + R"(,"cost":2})");
        add("/v1/check", "[" + one + R"(,"cost":2}])");
        add("/v1/extend", one + "}");
        add("/v1/extend", R"({"user":"u","endpoint":"r","request_id":"2"})");
        add("/v1/settle", R"({"user":"u","endpoint":"r","request_id":"2"})");
    }

    void lock(answers& all) {
        std::string const at = "/v1/locks/a/b";
        auto const add = [&](http_response answer) {
            all.add("/v1/locks/{name}", "post", answer);
            return answer;
        };
        auto const order = [&](json const& body) {
            return add(send(post(body.dump(), "Content-Type: application/json\r\n", at)));
        };
        auto const taken = json::parse(order({{"action", "acquire"}, {"ttl_ms", 60'000}, {"who", "a test"}}).body);
        order({{"action", "acquire"}});
        order({{"action", "extend"}, {"lease", taken["lease"]}});
        order({{"action", "release"}, {"lease", taken["lease"]}});
        order({{"action", "release"}, {"lease", taken["lease"]}});
        order({{"action", "take"}});
        add(send(post("{}", "Content-Type: application/json\r\n", "/v1/locks/")));
        add(connect_to_decisions(*guarded_).exchange(post("{}", "", at)));
        add(send(post("{}", "", at)));
        add(send(post(std::string(70'000, ' '), "Content-Type: application/json\r\n", at)));
        add(get(at));
        add(send("POST " + at + " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"));
    }

    void circuit(answers& all) {
        std::string const type = "Content-Type: application/json\r\n";
        auto const add = [&](std::string const& action, http_response answer) {
            all.add("/v1/circuits/{name}/" + action, "post", answer);
            return answer;
        };
        auto const order = [&](std::string const& action, std::string const& body) {
            return add(action, send(post(body, type, "/v1/circuits/api/" + action)));
        };
        auto const leave = json::parse(order("permit", "{}").body)["permit"].get<std::string>();
        auto const says = [&](char const* outcome) {
            order("result", json{{"permit", leave}, {"outcome", outcome}, {"duration_ms", 1}, {"error", "no"}}.dump());
        };
        says("failure"); // and it is open
        says("failure");
        order("permit", "{}");
        for (auto const* action : {"permit", "result"}) {
            auto const at = std::string("/v1/circuits/api/") + action;
            order(action, R"({"x":1})");
            add(action, send(post("{}", type, std::string("/v1/circuits/none/") + action)));
            add(action, connect_to_decisions(*guarded_).exchange(post("{}", "", at)));
            add(action, send(post("{}", "", at)));
            add(action, send(post(std::string(70'000, ' '), type, at)));
            add(action, get(at));
            add(action, send("POST " + at + " HTTP/1.1\r\nHost: a\r\n" + type + "Content-Length: 9\r\n\r\n"));
        }
    }

    redis_server redis_;
    std::optional<running_proxy> service_;
    std::optional<running_proxy> guarded_;
};

TEST_F(decision_openapi, the_document_describes_every_answer_and_every_answer_is_given) {
    answers all;
    authorize(all);
    check(all);
    reserve(all);
    lock(all);
    circuit(all);
    all.add("/openapi.json", "get", get("/openapi.json"));
    all.add("/openapi.json", "get", send("DELETE /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"));
    redis_.kill();
    all.add("/authorize", "get", get("/authorize", original("/strict/a")));
    all.add("/authorize/{path}", "get", get("/authorize/strict/a"));
    all.add("/v1/check", "post", send(post(R"({"user":"u","endpoint":"e"})")));
    all.add("/v1/locks/{name}", "post",
            send(post(R"({"action":"acquire"})", "Content-Type: application/json\r\n", "/v1/locks/a")));
    for (auto const* path : {"/v1/extend", "/v1/settle"})
        all.add(
            path, "post",
            send(post(R"({"user":"u","endpoint":"r","request_id":"1"})", "Content-Type: application/json\r\n", path)));
    EXPECT_EQ(all.faults(), "");
}

TEST_F(decision_openapi, an_answer_off_the_document_is_found) {
    answers all;
    auto wrong = get("/openapi.json");
    wrong.body = "[]";
    all.add("/openapi.json", "get", wrong);
    auto const faults = all.faults();
    EXPECT_NE(faults.find("/openapi.json get 200: $: [] is not of type 'object'"), faults.npos) << faults;
    EXPECT_NE(faults.find("/v1/check post 200: in the document, and not answered"), faults.npos) << faults;
}

} // namespace
} // namespace weir::test
