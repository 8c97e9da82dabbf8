#include "support/http_client.hpp"
#include "support/redis_fixture.hpp"

#include <weir/http/filters.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <optional>
#include <set>
#include <thread>

// The filters as another Beast server embeds them.

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace beast = boost::beast;
using asio::ip::tcp;
using request = beast::http::request<beast::http::string_body>;
using response = beast::http::response<beast::http::string_body>;

/// A server on a thread of its own. Its handler answers 200 with the fence, or what the path says: /status/<n>,
/// /throws, /used/<n>; /held answers when told.
class beast_server {
public:
    using set_up = std::function<void(beast_server&)>;

    explicit beast_server(std::string const& redis_url, set_up const& change)
        : redis_(io_, options_for(redis_url))
        , news_(io_, options_for(redis_url))
        , limiter_(redis_)
        , locks_(redis_, news_)
        , circuits_(redis_, news_)
        , limits(limiter_, {.trusted = {asio::ip::make_network_v4("127.0.0.0/8")}}) {
        change(*this);
        start(listen());
        thread_ = std::thread([this] { io_.run(); });
    }
    ~beast_server() {
        asio::post(io_, [this] {
            acceptor_.close();
            held_.cancel();
            for (auto* const each : clients_)
                each->close();
        });
        thread_.join();
    }

    void add_lock(lock::lock_options const& how) {
        sessions.emplace(locks_, "session", http::by_field("x-session-id"), how);
    }
    void add_circuit(circuit::settings const& how) { upstream.emplace(circuits_.get("handler", how)); }

    http_client connect() const { return http_client(address_); }
    /// Lets one request to /held go on.
    void let_go() {
        asio::post(io_, [this] { held_.cancel_one(); });
    }

    std::atomic<int> handled{0};

private:
    static redis::client_options options_for(std::string const& url) {
        auto options = patient_options(url);
        for (auto const& some : {rate_limit_scripts(), circuit::scripts(), lock::scripts()})
            options.scripts.insert(options.scripts.end(), some.begin(), some.end());
        return options;
    }

    asio::awaitable<response> handle(request const& what, http::passage& way) {
        ++handled;
        std::string const target(what.target());
        response answer{beast::http::status::ok, what.version(), std::to_string(way.lease().fence())};
        if (target.starts_with("/status/"))
            answer.result(static_cast<unsigned>(std::stoul(target.substr(8))));
        if (target == "/throws")
            throw std::runtime_error("no idea");
        if (target.starts_with("/used/"))
            way.used(std::stoull(target.substr(6)));
        if (target == "/held") {
            error_code ended;
            co_await held_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        }
        answer.prepare_payload();
        co_return answer;
    }

    asio::awaitable<response> answer(request const& what, asio::ip::address peer) {
        http::passage way;
        if (!co_await limits.async_enter(what, peer, way, asio::use_awaitable))
            co_return way.refusal(what, "id-1");
        if (sessions && !co_await sessions->async_enter(what, peer, way, asio::use_awaitable))
            co_return way.refusal(what, "id-1");
        if (upstream && !upstream->enter(way))
            co_return way.refusal(what, "id-1");
        try {
            auto made = co_await handle(what, way);
            way.leave(made);
            co_return made;
        } catch (std::runtime_error const& e) {
            way.fail(e.what());
        }
        co_return response{beast::http::status::bad_gateway, what.version()};
    }

    /// What requests hold must be given back before the filters go.
    void start(asio::awaitable<void> what) {
        ++running_;
        asio::co_spawn(io_, std::move(what), [this](std::exception_ptr) {
            if (--running_ == 0)
                io_.stop();
        });
    }

    asio::awaitable<void> serve(tcp::socket client) {
        clients_.insert(&client);
        co_await serve_all(client);
        clients_.erase(&client);
    }

    asio::awaitable<void> serve_all(tcp::socket& client) {
        auto const peer = client.remote_endpoint().address();
        beast::flat_buffer buffer;
        error_code ec;
        for (;;) {
            request what;
            co_await beast::http::async_read(client, buffer, what, asio::redirect_error(asio::use_awaitable, ec));
            if (ec)
                co_return;
            auto made = co_await answer(what, peer);
            made.prepare_payload();
            co_await beast::http::async_write(client, made, asio::redirect_error(asio::use_awaitable, ec));
        }
    }

    asio::awaitable<void> listen() {
        for (;;)
            start(serve(co_await acceptor_.async_accept(asio::use_awaitable)));
    }

    asio::io_context io_{1};
    tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
    tcp::endpoint const address_ = acceptor_.local_endpoint();
    std::set<tcp::socket*> clients_;
    int running_ = 0;
    asio::steady_timer held_{io_, asio::steady_timer::time_point::max()};
    redis::client redis_;
    redis::subscriber news_;
    limiter limiter_;
    lock::manager locks_;
    circuit::registry circuits_;

public:
    http::limit_filter limits;
    std::optional<http::lock_filter> sessions;
    std::optional<http::circuit_filter> upstream;

private:
    std::thread thread_;
};

class beast_filters : public testing::Test {
protected:
    redis_server redis_;
};

TEST_F(beast_filters, a_limit_is_told_of_and_refuses_as_a_problem) {
    beast_server server(redis_.url(),
                        [](beast_server& s) { s.limits.add({.rule = {.name = "two", .limit = 2, .window = 1h}}); });
    auto client = server.connect();
    auto const first = client.get("/");
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.field("RateLimit-Policy"), R"("two";q=2;w=3600)");
    EXPECT_THAT(std::string(first.field("RateLimit")), HasSubstr(R"("two";r=1;t=)"));
    EXPECT_EQ(client.get("/").status, 200);
    auto const refused = client.get("/");
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.field("Content-Type"), "application/problem+json");
    EXPECT_EQ(refused.field("X-Request-Id"), "id-1");
    EXPECT_GT(std::stoi(std::string(refused.field("Retry-After"))), 3500);
    auto const about = nlohmann::json::parse(refused.body);
    EXPECT_EQ(about["violated-policies"], nlohmann::json::array({"two"}));
    EXPECT_EQ(about["request_id"], "id-1");
    EXPECT_EQ(server.handled, 2);
}

TEST_F(beast_filters, units_are_counted_by_who_and_what_whatever_the_spelling) {
    beast_server server(redis_.url(), [](beast_server& s) {
        s.limits.add({.rule = {.name = "r", .limit = 1, .window = 1h},
                      .user = http::by_field_or_address("x-user"),
                      .endpoint = http::by_path});
    });
    auto client = server.connect();
    auto const as = [&](std::string const& user, std::string const& path) {
        return client.get(path, "X-User: " + user + "\r\n").status;
    };
    EXPECT_EQ(as("ada", "/a"), 200);
    EXPECT_EQ(as("ada", "/b"), 200);
    EXPECT_EQ(as("bob", "/a"), 200);
    EXPECT_EQ(as("ada", "/./x/../%61/?q"), 429);
    EXPECT_EQ(as("ada", "/%2e%2e/a%2fb"), 400);
    EXPECT_EQ(client.get("/a", "X-Forwarded-For: 192.0.2.1\r\n").status, 200);
    EXPECT_EQ(client.get("/a", "X-Forwarded-For: 192.0.2.2\r\n").status, 200);
    EXPECT_EQ(client.get("/a", "X-Forwarded-For: 198.51.100.7, 192.0.2.2\r\n").status, 429);
}

TEST_F(beast_filters, a_cost_known_afterwards_is_reserved_and_paid_as_used) {
    beast_server server(redis_.url(), [](beast_server& s) {
        s.limits.add({.rule = {.name = "tokens", .limit = 100, .window = 1h},
                      .cost = [](http::incoming const&) { return 40; },
                      .settled = true});
    });
    auto client = server.connect();
    auto const left = [&](std::string const& path) {
        auto const answer = client.get(path);
        EXPECT_EQ(answer.status, 200) << path;
        auto const text = std::string(answer.field("RateLimit"));
        return std::stoi(text.substr(text.find("r=") + 2));
    };
    EXPECT_EQ(left("/used/10"), 60);
    EXPECT_EQ(left("/used/70"), 50) << "the first paid 10";
    EXPECT_EQ(client.get("/").status, 429) << "20 are left";
}

TEST_F(beast_filters, places_in_flight_are_given_back_however_a_request_ends) {
    beast_server server(redis_.url(), [](beast_server& s) {
        s.limits.add({.rule = {.name = "one", .algorithm = algorithm::concurrency, .limit = 1, .window = 1h}});
    });
    auto first = server.connect(), second = server.connect();
    first.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    while (server.handled == 0)
        std::this_thread::yield();
    EXPECT_EQ(second.get("/").status, 429);
    server.let_go();
    EXPECT_EQ(first.read().status, 200);
    EXPECT_EQ(second.get("/").status, 200);
    EXPECT_EQ(second.get("/throws").status, 502);
    EXPECT_EQ(second.get("/").status, 200);
}

TEST_F(beast_filters, a_lock_lets_one_request_of_a_session_in_and_the_others_wait_or_are_refused) {
    beast_server server(redis_.url(), [](beast_server& s) { s.add_lock({.ttl = 10s}); });
    auto first = server.connect(), second = server.connect();
    first.send("GET /held HTTP/1.1\r\nHost: a\r\nX-Session-Id: s\r\n\r\n");
    while (server.handled == 0)
        std::this_thread::yield();
    EXPECT_EQ(second.get("/", "X-Session-Id: s\r\n").status, 409);
    EXPECT_EQ(second.get("/", "X-Session-Id: other\r\n").status, 200);
    EXPECT_EQ(second.get("/").body, "0") << "without the field, without the lock";
    server.let_go();
    auto const fence = std::stoll(first.read().body);
    EXPECT_GT(fence, 0);
    EXPECT_GT(std::stoll(second.get("/", "X-Session-Id: s\r\n").body), fence);
}

TEST_F(beast_filters, a_refusal_by_a_later_filter_gives_back_what_earlier_ones_hold) {
    beast_server server(redis_.url(), [](beast_server& s) {
        s.limits.add({.rule = {.name = "places", .algorithm = algorithm::concurrency, .limit = 2, .window = 1h}});
        s.add_lock({.ttl = 10s});
    });
    auto first = server.connect(), second = server.connect();
    first.send("GET /held HTTP/1.1\r\nHost: a\r\nX-Session-Id: s\r\n\r\n");
    while (server.handled == 0)
        std::this_thread::yield();
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(second.get("/", "X-Session-Id: s\r\n").status, 409) << "and no 429: its place was given back";
    server.let_go();
    EXPECT_EQ(first.read().status, 200);
}

TEST_F(beast_filters, a_circuit_opens_by_what_the_handler_answers_and_refuses_with_503) {
    beast_server server(redis_.url(), [](beast_server& s) {
        circuit::settings how;
        how.minimum_calls = 3;
        how.open_for = 60s;
        how.open_max = 60s;
        s.add_circuit(how);
    });
    auto client = server.connect();
    EXPECT_EQ(client.get("/status/404").status, 404);
    EXPECT_EQ(client.get("/status/500").status, 500);
    EXPECT_EQ(client.get("/throws").status, 502);
    auto const refused = client.get("/");
    EXPECT_EQ(refused.status, 503);
    EXPECT_GT(std::stoi(std::string(refused.field("Retry-After"))), 30);
    EXPECT_THAT(refused.body, HasSubstr("the circuit \\\"handler\\\" is open"));
    EXPECT_EQ(server.handled, 3);
}

TEST_F(beast_filters, without_redis_each_does_what_it_was_told) {
    beast_server server(redis_.url(), [](beast_server& s) {
        s.limits.add({.rule = {.name = "r", .limit = 1, .window = 1h, .on_redis_failure = on_redis_failure::open}});
        s.add_lock({.ttl = 100ms});
    });
    auto client = server.connect();
    EXPECT_EQ(client.get("/").status, 200);
    redis_.kill();
    EXPECT_EQ(client.get("/").status, 200) << "the rule lets everybody in";
    auto const refused = client.get("/", "X-Session-Id: s\r\n");
    EXPECT_EQ(refused.status, 503);
    EXPECT_THAT(refused.body, HasSubstr("the lock \\\"session\\\" cannot be taken"));
}

} // namespace
} // namespace weir::test
