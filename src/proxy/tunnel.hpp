#pragma once

#include "proxy/buffer_pool.hpp"
#include "proxy/client_stream.hpp"
#include "proxy/deadline_wheel.hpp"
#include "proxy/upstream_pool.hpp"

#include <chrono>
#include <cstdint>
#include <string_view>

namespace weir::proxy {

enum class tunnel_end {
    /// Both sides have said all they had to say.
    complete,
    /// Reset, or it did not read for too long.
    client_broke_off,
    upstream_broke_off,
    /// Nothing passed for too long.
    idle,
};

/// Moves bytes between a client and an upstream that have switched to another protocol: both ways at once, each no
/// faster than it is read. The end of one way is passed on and leaves the other open. Holds no memory for what does not
/// move.
///
/// Lives for one switch; belongs to its worker's thread.
class tunnel {
public:
    struct patience {
        /// For a tunnel in which nothing moves, and for an upstream that does not read.
        std::chrono::nanoseconds idle;
        /// For a client that does not read.
        std::chrono::nanoseconds client;
    };

    /// All must outlive it.
    tunnel(client_stream& client, upstream_connection& up, deadline_wheel& wheel, buffer_pool& blocks,
           patience limits) noexcept;
    tunnel(tunnel const&) = delete;
    tunnel& operator=(tunnel const&) = delete;

    /// Returns when it has ended; `said` is what the client sent too early to be read here. Call once. Closing a socket
    /// breaks it off.
    awaitable<tunnel_end> run(std::string_view said);

    std::uint64_t bytes_up() const noexcept { return up_.written; }
    std::uint64_t bytes_down() const noexcept { return client_.written; }

private:
    class alarm final : public deadline_wheel::entry {
    public:
        alarm(tunnel& of, tunnel_end meaning) noexcept
            : of_(of)
            , meaning_(meaning) {}

    private:
        void on_deadline() override { of_.stop(meaning_); }

        tunnel& of_;
        tunnel_end meaning_;
    };

    struct side {
        tcp_socket& socket;
        /// Null: in the clear.
        tls_session* tls;
        tunnel_end broken;
        alarm unread;
        std::chrono::nanoseconds patience;
        std::uint64_t written = 0;
    };

    awaitable<void> pump(side& from, side& to, std::string_view data);
    awaitable<bool> write(side& to, std::string_view data);
    awaitable<bool> wait(side& for_what, transfer what);
    static void end_writing(side& to) noexcept;
    void stop(tunnel_end why) noexcept;

    deadline_wheel& wheel_;
    buffer_pool& blocks_;
    patience limits_;
    side client_;
    side up_;
    alarm idle_{*this, tunnel_end::idle};
    tunnel_end end_ = tunnel_end::complete;
    bool over_ = false;
};

} // namespace weir::proxy
