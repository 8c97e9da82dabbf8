#pragma once

#include <weir/redis/transport.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <sstream>
#include <stdexcept>

namespace weir::redis {

WEIR_DECL transport::transport(asio::io_context& context)
    : socket_(context.get_executor())
    , resolver_(context.get_executor()) {}

WEIR_DECL void transport::add_candidate(asio::ip::tcp::endpoint const& endpoint) {
    std::ostringstream name;
    name << endpoint;
    candidates_.push_back({endpoint, endpoint.protocol(), name.str()});
}

template <class Step>
auto transport::of_this_attempt(connect_handler handler, Step step) {
    return [this, attempt = attempt_, handler = std::move(handler), step = std::move(step)](error_code ec,
                                                                                            auto&&... result) mutable {
        if (ec == asio::error::operation_aborted || attempt != attempt_)
            return handler(asio::error::operation_aborted, {});
        step(std::move(handler), ec, result...);
    };
}

WEIR_DECL void transport::async_connect(address const& server, connect_handler handler) {
    server_ = server;
    candidates_.clear();
    next_candidate_ = 0;
    if (server.via == address::transport::unix_socket) {
        asio::local::stream_protocol::endpoint const endpoint(server.path);
        candidates_.push_back({endpoint, endpoint.protocol(), server.path});
        return connect_next(std::move(handler), {}, {});
    }
    error_code not_numeric;
    auto const numeric = asio::ip::make_address(server.host, not_numeric);
    if (!not_numeric) {
        add_candidate({numeric, server.port});
        return connect_next(std::move(handler), {}, {});
    }
    resolver_.async_resolve(
        server.host, std::to_string(server.port), asio::ip::resolver_base::numeric_service,
        of_this_attempt(std::move(handler),
                        [this, host = server.host](connect_handler next, error_code ec, auto const& found) {
                            if (ec)
                                return next(ec, "look up " + host + ": " + ec.message());
                            for (auto const& each : found)
                                add_candidate(each.endpoint());
                            connect_next(std::move(next), {}, {});
                        }));
}

WEIR_DECL void transport::connect_next(connect_handler handler, error_code last, std::string last_text) {
    while (next_candidate_ < candidates_.size()) {
        auto const& next = candidates_[next_candidate_++];
        error_code ignored;
        socket_.close(ignored);
        socket_.open(next.protocol, last);
        if (!last) {
            // A program that is executed, such as that of `weir lock run`, must not speak with our rights.
            ::fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);
            socket_.non_blocking(true, last);
        }
        if (last) {
            last_text = "connect to " + next.name + ": " + last.message();
            continue;
        }
        // Commands are gathered into whole writes already; Nagle's algorithm would only delay them.
        if (next.protocol.family() != AF_UNIX)
            socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
        return socket_.async_connect(
            next.endpoint,
            of_this_attempt(std::move(handler), [this, name = next.name](connect_handler then, error_code ec) {
                if (!ec)
                    return connected(std::move(then));
                connect_next(std::move(then), ec, "connect to " + name + ": " + ec.message());
            }));
    }
    asio::post(socket_.get_executor(), [handler = std::move(handler), last, text = std::move(last_text)]() mutable {
        handler(last ? last : error_code{asio::error::host_not_found}, std::move(text));
    });
}

WEIR_DECL void transport::connected(connect_handler handler) {
    if (server_.via != address::transport::tls)
        return handler({}, {});
    auto const where = server_.display();
    try {
        tls_ = std::make_shared<detail::tls_stream>(std::move(socket_), server_);
    } catch (std::runtime_error const& e) {
        return handler(errc::tls_failed, where + ": " + e.what());
    }
    tls_->async_handshake([where, handler = std::move(handler)](error_code ec, std::string text) {
        handler(ec, text.empty() ? text : where + ": " + text);
    });
}

WEIR_DECL std::size_t transport::try_write(std::string_view bytes, error_code& ec) {
    if (tls_)
        return tls_->try_write(bytes, ec);
    return socket_.write_some(asio::buffer(bytes.data(), bytes.size()), ec);
}

WEIR_DECL void transport::close() noexcept {
    error_code ignored;
    ++attempt_;
    resolver_.cancel();
    socket_.close(ignored);
    if (tls_)
        tls_->close();
    tls_.reset();
    next_candidate_ = candidates_.size();
}

} // namespace weir::redis
