#pragma once

#include <weir/redis/connecting.hpp>
#include <weir/redis/tls_stream.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>

namespace weir::redis::detail {

// What a pause in demand is at most. The rest of a second is for the connection and its handshake.
inline constexpr std::chrono::milliseconds longest_in_demand{500};

WEIR_DECL std::chrono::milliseconds reconnect_pause::up_to(std::chrono::milliseconds bound) {
    return std::chrono::milliseconds{std::uniform_int_distribution<std::int64_t>{0, bound.count()}(random_)};
}

WEIR_DECL std::chrono::milliseconds reconnect_pause::next(client_options const& options) {
    auto bound = std::max<std::chrono::milliseconds>(options.reconnect_min, std::chrono::milliseconds{1});
    for (int i = 1; i < failures_ && bound < options.reconnect_max; ++i)
        bound *= 2;
    return up_to(std::min(bound, options.reconnect_max));
}

WEIR_DECL std::chrono::milliseconds reconnect_pause::shortened(std::chrono::milliseconds planned,
                                                               client_options const& options) {
    auto const most = std::max(longest_in_demand, options.reconnect_min);
    return planned <= most ? planned : up_to(most);
}

WEIR_DECL std::optional<command> auth_command(address const& server) {
    if (server.password.empty())
        return std::nullopt;
    if (server.user.empty())
        return command("AUTH", server.password);
    return command("AUTH", server.user, server.password);
}

WEIR_DECL std::string discreet(std::string_view words, address const& server, std::string const& otherwise) {
    auto const tells = !server.password.empty() && words.find(server.password) != std::string_view::npos;
    return words.empty() || tells ? otherwise : std::string(words);
}

WEIR_DECL stream_end explain_end(error_code const& ec, address const& server, bool in_handshake) {
    stream_end end{errc::connection_lost, ec == asio::error::eof ? "the server closed the connection" : ec.message()};
    bool const ended = ec == asio::error::eof || ec == asio::error::connection_reset;
    if (ended && in_handshake && server.via == address::transport::tcp)
        end.text += " in the handshake; if it wants TLS, use rediss://";
    // A server that wants a certificate of the client says so only when the client's handshake is over (TLS 1.3).
    if (is_tls_error(ec))
        end.why = errc::tls_failed;
    return end;
}

WEIR_DECL std::string no_answer_text(address const& server, std::chrono::milliseconds connect_timeout) {
    return "connect to " + server.display() + ": no answer within " + std::to_string(connect_timeout.count()) + " ms" +
           (server.via == address::transport::tls ? "; a server without TLS there says nothing" : "");
}

} // namespace weir::redis::detail
