#pragma once

#include <weir/redis/client_options.hpp>
#include <weir/redis/command.hpp>

#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace weir::redis::detail {

/// The pauses between attempts to connect, by the options' bounds, with full jitter (M. Brooker, "Exponential Backoff
/// And Jitter", 2015). Thread safety: unsafe.
class reconnect_pause {
public:
    void succeeded() noexcept { failures_ = 0; }
    void failed() noexcept { ++failures_; }
    WEIR_DECL std::chrono::milliseconds next(client_options const& options);
    /// Not longer than `planned`, for somebody wants the connection: what asks for it is served within a second of the
    /// server's return, however far the pauses have grown. Where `reconnect_min` is longer than that, it is kept to.
    WEIR_DECL std::chrono::milliseconds shortened(std::chrono::milliseconds planned, client_options const& options);

private:
    WEIR_DECL std::chrono::milliseconds up_to(std::chrono::milliseconds bound);

    std::minstd_rand random_{std::random_device{}()};
    int failures_ = 0;
};

/// AUTH as the address wants it; nothing where that has no password.
WEIR_DECL std::optional<command> auth_command(address const& server);

/// The server's words, or `otherwise` where they repeat the password ("unknown command 'AUTH', with args beginning
/// with ...") or are empty.
WEIR_DECL std::string discreet(std::string_view words, address const& server, std::string const& otherwise);

/// Why the server is thought to have ended the stream, or the system to have failed it.
struct stream_end {
    errc why;
    std::string text;
};
WEIR_DECL stream_end explain_end(error_code const& ec, address const& server, bool in_handshake);

/// What to say of an attempt that took longer than `connect_timeout`.
WEIR_DECL std::string no_answer_text(address const& server, std::chrono::milliseconds connect_timeout);

} // namespace weir::redis::detail

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/connecting.ipp>
#endif
