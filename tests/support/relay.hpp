#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace weir::test {

/// Stands between a client and a server and breaks what passes, on a thread of its own. It listens on 127.0.0.1 and on
/// a unix socket, and forwards each connection to the server's unix socket or port of 127.0.0.1. All functions may be
/// called from the test's thread at any time; each returns when it has taken effect.
class relay {
public:
    explicit relay(std::string const& server_socket_path);
    explicit relay(std::uint16_t server_port);
    relay(relay const&) = delete;
    relay& operator=(relay const&) = delete;
    ~relay();

    std::string tcp_url() const;
    std::uint16_t port() const;
    std::string unix_url() const;

    /// The server's bytes are passed on in pieces of `size`, each in a segment of its own; 0: as they come.
    void split_replies(std::size_t size);
    /// What the server says is passed on so much later, what comes meanwhile together with it.
    void delay_replies(std::chrono::milliseconds by);
    /// What the server says is dropped; what the client says still reaches it.
    void swallow_replies(bool on);
    /// Nothing is read from either side: both fill up.
    void stall(bool on);
    /// Cuts each connection, new ones too, once the server has said `bytes` more bytes on it, of which all but the
    /// last are passed on.
    void cut_after_reply_bytes(std::size_t bytes);
    /// Ends all connections with a reset, and goes on listening.
    void cut();
    /// Tells the client the end of the stream (FIN) and goes on taking what it says.
    void half_close();
    /// Stops listening: new connections are refused. Those there are go on.
    void refuse(bool on);

    /// How many connections were accepted so far.
    std::size_t accepted() const;

private:
    class engine;
    std::unique_ptr<engine> engine_;
};

} // namespace weir::test
