#include "admin/server.hpp"

#include "admin/dashboard.hpp"
#include "admin/io.hpp"
#include "config/values.hpp"
#include "proxy/bearer.hpp"

#include <weir/http/problem.hpp>

#include <boost/algorithm/string/join.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/authority_view.hpp>
#include <boost/url/parse.hpp>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <thread>

namespace weir::admin {
namespace {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using asio::ip::tcp;
using request = bhttp::request<bhttp::string_body>;
using response = bhttp::response<bhttp::string_body>;

/// For a request, and for its answer.
constexpr std::chrono::seconds patience{10};
constexpr std::size_t max_connections = 64;
constexpr std::size_t max_request = 64 * 1024;

start_error cannot_listen(config::endpoint const& at, boost::system::error_code ec) {
    auto const where = at.host + ":" + std::to_string(at.port);
    return start_error("cannot listen on the admin address " + where + ": " + ec.message());
}

response answer(request const& to, bhttp::status status, std::string_view type, std::string body) {
    response made{status, to.version()};
    made.set(bhttp::field::content_type, beast::string_view{type.data(), type.size()});
    made.set(bhttp::field::cache_control, "no-store");
    made.keep_alive(to.keep_alive());
    made.body() = std::move(body);
    made.prepare_payload();
    return made;
}

response problem(request const& to, bhttp::status status, std::string_view detail) {
    std::string body;
    http::problem what;
    what.status = static_cast<unsigned>(status);
    what.detail = detail;
    http::append_problem(body, what);
    return answer(to, status, http::problem_content_type, body + '\n');
}

std::string_view view(beast::string_view text) noexcept { return {text.data(), text.size()}; }

/// Whether `host[:port]` is an address or localhost, and no name that somebody else may have pointed at this host.
bool names_this_host(std::string_view authority) {
    auto const parsed = boost::urls::parse_authority({authority.data(), authority.size()});
    if (!parsed)
        return false;
    return parsed->host_type() == boost::urls::host_type::ipv4 || parsed->host_type() == boost::urls::host_type::ipv6 ||
           beast::iequals(parsed->host(), "localhost");
}

/// By what browsers say of a request, and pages cannot change (Fetch Metadata; RFC 6454).
bool is_from_another_site(request const& asked) {
    auto const site = view(asked["Sec-Fetch-Site"]);
    if (!site.empty() && site != "same-origin" && site != "none")
        return true;
    auto const origin = view(asked[bhttp::field::origin]);
    return !origin.empty() && origin != "http://" + std::string(view(asked[bhttp::field::host])) &&
           origin != "https://" + std::string(view(asked[bhttp::field::host]));
}

/// A thread without signals: they belong to the thread that waits for them.
std::thread quiet_thread(asio::io_context& io) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread made([&io] { io.run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return made;
}

} // namespace

class server::impl {
public:
    explicit impl(server_options options)
        : options_(std::move(options))
        , acceptor_(io_) {
        listen();
        if (options_.live)
            live_ = options_.live(io_);
        asio::co_spawn(io_, accept(), asio::detached);
        thread_ = quiet_thread(io_);
    }
    impl(impl const&) = delete;
    impl& operator=(impl const&) = delete;
    ~impl() {
        io_.stop();
        thread_.join();
    }

    tcp::endpoint endpoint() const { return endpoint_; }

private:
    void listen() {
        boost::system::error_code ec;
        tcp::endpoint const at{asio::ip::make_address(options_.address.host), options_.address.port};
        acceptor_.open(at.protocol(), ec);
        if (!ec)
            acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
        if (!ec)
            acceptor_.bind(at, ec);
        if (!ec)
            acceptor_.listen(asio::socket_base::max_listen_connections, ec);
        if (ec == asio::error::address_in_use)
            throw address_in_use("the admin address " + config::format_endpoint(options_.address) + " is in use");
        if (ec)
            throw cannot_listen(options_.address, ec);
        endpoint_ = acceptor_.local_endpoint();
    }

    asio::awaitable<void> accept() {
        for (;;) {
            auto [ec, socket] = co_await acceptor_.async_accept(use_result);
            if (ec) { // out of descriptors, most likely: the proxy needs them more
                asio::steady_timer pause{io_, std::chrono::milliseconds{100}};
                co_await pause.async_wait(use_result);
                continue;
            }
            if (connections_ >= max_connections)
                continue; // closes it
            ++connections_;
            asio::co_spawn(io_, serve(beast::tcp_stream{std::move(socket)}),
                           [this](std::exception_ptr const&) { --connections_; });
        }
    }

    asio::awaitable<void> serve(beast::tcp_stream stream) {
        beast::flat_buffer buffer{max_request};
        for (bool again = true; again;) {
            bhttp::request_parser<bhttp::string_body> parser;
            parser.body_limit(max_request);
            stream.expires_after(patience);
            if (auto [ec, n] = co_await bhttp::async_read(stream, buffer, parser, use_result); ec)
                break;
            auto made = co_await respond(parser.get());
            stream.expires_after(patience);
            if (auto [ec, n] = co_await bhttp::async_write(stream, made, use_result); ec)
                break;
            again = made.keep_alive();
        }
        boost::system::error_code ignored;
        stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }

    asio::awaitable<response> respond(request const& asked) const {
        auto made = co_await route(asked);
        made.set("X-Content-Type-Options", "nosniff");
        if (asked.method() == bhttp::verb::head)
            made.body().clear(); // Content-Length stays what GET would say
        co_return made;
    }

    asio::awaitable<response> route(request const& asked) const {
        auto const target = view(asked.target());
        auto const path = target.substr(0, target.find('?'));
        if (path.starts_with("/v1/"))
            co_return co_await call(asked, target);
        bool const known = path == "/" || path == "/metrics" || path == "/healthz" || path == "/readyz";
        if (!known)
            co_return problem(asked, bhttp::status::not_found, "known here: " + known_paths());
        if (asked.method() != bhttp::verb::get && asked.method() != bhttp::verb::head)
            co_return wrong_method(asked, "GET, HEAD");
        if (path == "/")
            co_return show_dashboard(asked);
        if (path == "/healthz")
            co_return answer(asked, bhttp::status::ok, "text/plain; charset=utf-8", "ok\n");
        if (path == "/readyz")
            co_return readiness(asked);
        co_return allowed(asked) ? metrics(asked) : unauthorized(asked);
    }

    static response show_dashboard(request const& asked) {
        auto const& page = dashboard();
        auto made = answer(asked, bhttp::status::ok, "text/html; charset=utf-8", std::string(page.document));
        made.set("Content-Security-Policy", page.policy);
        made.set("Referrer-Policy", "no-referrer");
        made.set("X-Frame-Options", "DENY");
        return made;
    }

    std::string known_paths() const {
        std::string all = "/, /metrics, /healthz, /readyz";
        for (auto const& each : live_.api)
            all += ", /v1/" + each.name;
        return all;
    }

    asio::awaitable<response> call(request const& asked, std::string_view target) const {
        if (!allowed(asked))
            co_return unauthorized(asked);
        if (options_.token.empty() && !names_this_host(view(asked[bhttp::field::host])))
            co_return problem(asked, bhttp::status::misdirected_request,
                              "without a token this side is called by an address or as localhost");
        auto question = parse_api_target(target);
        if (!question)
            co_return problem(asked, bhttp::status::bad_request, "the target is malformed");
        auto const found = std::find_if(live_.api.begin(), live_.api.end(),
                                        [&](auto const& each) { return each.name == question->path.front(); });
        if (found == live_.api.end())
            co_return problem(asked, bhttp::status::not_found, "known here: " + known_paths());
        question->method = asked.method() == bhttp::verb::head ? "GET" : std::string(asked.method_string());
        question->body = asked.body();
        auto const& methods = found->methods;
        if (std::find(methods.begin(), methods.end(), question->method) == methods.end())
            co_return wrong_method(asked, boost::algorithm::join(methods, ", "));
        if (question->method != "GET" && is_from_another_site(asked))
            co_return problem(asked, bhttp::status::forbidden, "a page of another site may change nothing here");
        co_return co_await run(asked, *found, *question);
    }

    static asio::awaitable<response> run(request const& asked, api_resource const& resource,
                                         api_request const& question) {
        api_answer said;
        try {
            said = co_await resource.answer(question);
        } catch (std::exception const& e) {
            said = refused(500, e.what());
        }
        auto const status = bhttp::int_to_status(said.status);
        if (!said.detail.empty())
            co_return problem(asked, status, said.detail);
        co_return answer(asked, status, "application/json",
                         said.body.dump(-1, ' ', false, json::error_handler_t::replace) + '\n');
    }

    static response wrong_method(request const& asked, std::string const& methods) {
        auto made = problem(asked, bhttp::status::method_not_allowed, "only " + methods + " are answered here");
        made.set(bhttp::field::allow, methods);
        return made;
    }

    static response unauthorized(request const& asked) {
        auto made = problem(asked, bhttp::status::unauthorized, "send Authorization: Bearer with the admin token");
        made.set(bhttp::field::www_authenticate, "Bearer");
        return made;
    }

    bool allowed(request const& asked) const {
        return proxy::bears_token(view(asked[bhttp::field::authorization]), options_.token);
    }

    response readiness(request const& asked) const {
        bool ready = true;
        nlohmann::ordered_json parts = nlohmann::ordered_json::object();
        for (auto const& part : options_.readiness ? options_.readiness() : std::vector<condition>{}) {
            ready = ready && part.ready;
            parts[part.name] = part.ready ? "ready" : part.detail;
        }
        nlohmann::ordered_json const body{{"ready", ready}, {"conditions", parts}};
        return answer(asked, ready ? bhttp::status::ok : bhttp::status::service_unavailable, "application/json",
                      body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
    }

    response metrics(request const& asked) const {
        std::vector<prometheus::MetricFamily> all;
        for (auto const* some : {&options_.metrics, &live_.metrics})
            for (auto const& each : *some) {
                auto families = each->Collect();
                std::move(families.begin(), families.end(), std::back_inserter(all));
            }
        return answer(asked, bhttp::status::ok, "text/plain; version=0.0.4; charset=utf-8",
                      prometheus::TextSerializer{}.Serialize(all));
    }

    server_options const options_;
    asio::io_context io_{1};
    tcp::acceptor acceptor_;
    tcp::endpoint endpoint_;
    live_parts live_;
    std::size_t connections_ = 0;
    std::thread thread_;
};

server::server(server_options options)
    : impl_(std::make_unique<impl>(std::move(options))) {}

server::~server() = default;

asio::ip::tcp::endpoint server::endpoint() const { return impl_->endpoint(); }

} // namespace weir::admin
