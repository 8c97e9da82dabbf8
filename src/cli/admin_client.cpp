#include "cli/admin_client.hpp"

#include "cli/failure.hpp"
#include "config/load.hpp"
#include "config/values.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/beast/http.hpp>

#include <chrono>
#include <cstdlib>

namespace weir::cli {
namespace {

namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

constexpr std::chrono::seconds patience{5};

/// Runs one asynchronous operation with a deadline, which blocking ones do not have.
template <class Start>
boost::system::error_code run(asio::io_context& io, beast::tcp_stream& stream, Start const& start) {
    boost::system::error_code result = asio::error::would_block;
    stream.expires_after(patience);
    start([&result](boost::system::error_code ec, auto const&...) { result = ec; });
    io.restart();
    io.run();
    return result;
}

} // namespace

admin_client::admin_client(admin_options const& options) {
    config::endpoint at{"127.0.0.1", 9900};
    if (!options.config_file.empty()) {
        auto const loaded = config::load_file(options.config_file);
        if (!loaded.value)
            throw failure("config", to_string(loaded.issues.front(), options.config_file), {});
        at = loaded.value->admin;
        token_ = loaded.value->admin_token;
    }
    try {
        if (!options.address.empty())
            at = config::parse_endpoint(options.address);
    } catch (config::value_error const& e) {
        throw failure("usage", std::string("--admin: ") + e.what(), {});
    }
    if (!options.token.empty())
        token_ = options.token;
    else if (auto const* set = std::getenv("WEIR_ADMIN_TOKEN"); token_.empty() && set)
        token_ = set;
    auto address = asio::ip::make_address(at.host);
    if (address.is_unspecified()) // where it listens everywhere, it listens here
        address = address.is_v4() ? asio::ip::address(asio::ip::address_v4::loopback())
                                  : asio::ip::address(asio::ip::address_v6::loopback());
    endpoint_ = {address, at.port};
    where_ = config::format_endpoint({address.to_string(), at.port});
}

void admin_client::connect() {
    buffer_.clear();
    auto const ec = run(io_, stream_, [&](auto handler) { stream_.async_connect(endpoint_, std::move(handler)); });
    if (ec)
        throw failure("not_connected", "nobody answers at " + where_ + ": " + ec.message(),
                      "is weir serve running, and is that its admin address (--admin)?");
    connected_ = true;
}

nlohmann::ordered_json admin_client::get(std::string const& target) {
    bhttp::request<bhttp::empty_body> asked{bhttp::verb::get, target, 11};
    asked.set(bhttp::field::host, where_);
    if (!token_.empty())
        asked.set(bhttp::field::authorization, "Bearer " + token_);
    bhttp::response_parser<bhttp::string_body> parser;
    boost::system::error_code ec;
    // The server closes what was idle for long: then once more on a fresh connection.
    for (bool const reused = connected_;; ec = {}) {
        if (!connected_)
            connect();
        ec = run(io_, stream_, [&](auto handler) { bhttp::async_write(stream_, asked, std::move(handler)); });
        if (!ec)
            ec = run(io_, stream_,
                     [&](auto handler) { bhttp::async_read(stream_, buffer_, parser, std::move(handler)); });
        if (!ec || !reused || parser.got_some())
            break;
        connected_ = false;
        stream_.close();
    }
    if (ec)
        throw failure("admin", where_ + " does not answer: " + ec.message(), {});
    auto const& said = parser.get();
    if (said.result() == bhttp::status::unauthorized)
        throw failure("unauthorized", where_ + " wants its admin token", "give it in WEIR_ADMIN_TOKEN");
    auto document = nlohmann::ordered_json::parse(said.body(), nullptr, false);
    if (said.result() != bhttp::status::ok || document.is_discarded())
        throw failure("admin", where_ + " answers " + target + " with " + std::to_string(said.result_int()),
                      "is it the admin side of this version of weir?");
    return document;
}

} // namespace weir::cli
