#include "cli/demo_traffic.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <exception>

namespace weir::cli {
namespace {

namespace asio = boost::asio;
namespace beast_http = boost::beast::http;
using asio::ip::tcp;

/// One connection of a user.
struct session {
    demo_user const& user;
    demo_tally& tally;
    tcp::endpoint proxy;
    demo_clock::time_point end;
    std::size_t number;
};

beast_http::request<beast_http::empty_body> next_request(demo_user const& user, std::uint64_t n) {
    beast_http::request<beast_http::empty_body> request(beast_http::verb::get, user.targets[n % user.targets.size()],
                                                        11);
    request.set(beast_http::field::host, "demo.weir");
    if (user.says_who)
        request.set("X-User-Id", user.name);
    if (user.forges_address)
        request.set("X-Forwarded-For", "10." + std::to_string(n / 65536 % 256) + '.' + std::to_string(n / 256 % 256) +
                                           '.' + std::to_string(n % 256));
    return request;
}

/// The seconds to wait.
unsigned note_refusal(demo_tally& tally, beast_http::response<beast_http::string_body> const& response) {
    ++tally.refused;
    unsigned seconds = 0;
    auto wait = response[beast_http::field::retry_after];
    auto [end, failed] = std::from_chars(wait.data(), wait.data() + wait.size(), seconds);
    if (wait.empty() || failed != std::errc{} || response["RateLimit"].empty())
        ++tally.silent_refusals;
    tally.least_wait = std::min(seconds, tally.least_wait.value_or(seconds));
    tally.most_wait = std::max(seconds, tally.most_wait.value_or(seconds));
    auto problem = nlohmann::json::parse(response.body(), nullptr, false);
    if (problem.is_object() && problem.contains("detail") && problem["detail"].is_string()) {
        auto detail = problem["detail"].get<std::string>();
        tally.reason = detail.substr(0, detail.find(';'));
    }
    return seconds;
}

asio::awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> run(session s) {
    tcp::socket socket(co_await asio::this_coro::executor);
    co_await socket.async_connect(s.proxy, asio::use_awaitable);
    socket.set_option(tcp::no_delay(true));
    boost::beast::flat_buffer buffer;
    bool waited = false;
    for (std::uint64_t n = s.number; demo_clock::now() < s.end; n += static_cast<std::uint64_t>(s.user.connections)) {
        auto request = next_request(s.user, n);
        beast_http::response<beast_http::string_body> response;
        auto sent = demo_clock::now();
        ++s.tally.sent;
        co_await beast_http::async_write(socket, request, asio::use_awaitable);
        co_await beast_http::async_read(socket, buffer, response, asio::use_awaitable);
        auto wait = s.user.pause;
        if (response.result() == beast_http::status::too_many_requests) {
            s.tally.refused_after_waiting += waited;
            std::chrono::seconds told{note_refusal(s.tally, response)};
            if (s.user.waits_when_refused)
                wait = told;
        } else if (response.result() == beast_http::status::ok) {
            s.tally.admitted.push_back({sent, demo_clock::now()});
        } else {
            ++s.tally.other;
        }
        waited = s.user.waits_when_refused && response.result() == beast_http::status::too_many_requests;
        s.tally.waits += waited;
        if (wait.count() > 0)
            co_await pause(wait);
    }
}

} // namespace

bool demo_tally::over(std::size_t limit, std::chrono::milliseconds window) const {
    auto times = admitted;
    std::sort(times.begin(), times.end(), [](admission const& a, admission const& b) { return a.sent < b.sent; });
    for (std::size_t i = 0; i + limit < times.size(); ++i) {
        auto last = times[i].answered;
        for (std::size_t j = i; j <= i + limit; ++j)
            last = std::max(last, times[j].answered);
        if (last - times[i].sent < window)
            return true;
    }
    return false;
}

std::vector<demo_tally> send_demo_traffic(tcp::endpoint proxy, std::vector<demo_user> const& users,
                                          std::chrono::milliseconds duration) {
    asio::io_context context(1);
    std::vector<demo_tally> tallies(users.size());
    std::exception_ptr thrown;
    auto end = demo_clock::now() + duration;
    for (std::size_t i = 0; i < users.size(); ++i)
        for (int c = 0; c < users[i].connections; ++c)
            asio::co_spawn(context, run({users[i], tallies[i], proxy, end, static_cast<std::size_t>(c)}),
                           [&](std::exception_ptr failed) {
                               if (failed && !thrown)
                                   thrown = failed;
                           });
    context.run();
    if (thrown)
        std::rethrow_exception(thrown);
    return tallies;
}

} // namespace weir::cli
