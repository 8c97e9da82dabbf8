#pragma once

#include "proxy/io.hpp"
#include "proxy/poller.hpp"

#include <boost/asio/async_result.hpp>

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace weir::proxy {

/// A connected TCP socket that knows whether there is something to read or room to write: reading what is not there
/// costs nothing. Its functions are called as those of Asio's socket, but reading and writing never wait: after
/// `would_block`, async_wait().
///
/// Belongs to the thread of the poller's loop.
class tcp_socket final : private poller::entry {
public:
    enum wait_type : std::uint8_t { wait_read, wait_write };
    enum shutdown_type : int { shutdown_send = SHUT_WR, shutdown_both = SHUT_RDWR };

    /// Closed. `by` must outlive it.
    explicit tcp_socket(poller& by) noexcept
        : poller_(by) {}
    /// Takes a connected descriptor that does not block; closed where the poller has no room for it.
    tcp_socket(poller& by, int descriptor) noexcept;
    /// As close().
    ~tcp_socket();

    /// Connects anew; what is open is closed before.
    awaitable<error_code> connect(tcp::endpoint const& to);

    bool is_open() const noexcept { return descriptor_ >= 0; }
    int native_handle() const noexcept { return descriptor_; }
    executor get_executor() const noexcept { return poller_.get_executor(); }

    /// Reads what is there, at the most the size of `to`; `eof` at the end. `would_block`: nothing, or it is the turn
    /// of others: wait for more, which in that case is no wait.
    std::size_t read_some(asio::mutable_buffer to, error_code& ec) noexcept;
    /// Writes what there is room for. Precondition: no more than gather_list::capacity buffers.
    std::size_t write_some(std::span<asio::const_buffer const> from, error_code& ec) noexcept;

    /// Completes, as `void(error_code)`, never before it returns, when there is something to read (an end or an error
    /// among it) or room to write. `operation_aborted` after cancel() and close().
    template <class Token>
    auto async_wait(wait_type what, Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [](auto handler, tcp_socket* self, wait_type which) {
                self->wait(which, std::make_unique<waiter_for<decltype(handler)>>(std::move(handler)));
            },
            token, this, what);
    }

    /// Who speaks on the descriptor itself was told that it would block.
    void blocked(wait_type what) noexcept { ready_[what] = what == wait_read && ended_; }

    /// Looks at the next byte, which stays: 1, 0 at the end of what the peer sends, -1 with `errno`. Never blocks.
    ssize_t peek() noexcept;
    /// Neither closed by the peer nor anything to read.
    bool quiet() noexcept;

    /// Waits end with `operation_aborted`, later.
    void cancel() noexcept;
    void close() noexcept;
    /// Closes so that the peer sees a reset: what was broken off must not be taken for what has ended.
    void close_with_reset() noexcept;
    void shutdown(shutdown_type how) noexcept { ::shutdown(descriptor_, how); }
    /// Small writes go at once.
    void no_delay() noexcept;

private:
    /// So many reads in a row, then others have their turn.
    static constexpr unsigned max_burst = 16;

    struct waiter {
        waiter() = default;
        waiter(waiter const&) = delete;
        waiter& operator=(waiter const&) = delete;
        virtual ~waiter() = default;
        static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
        static void operator delete(void* memory, std::size_t size) noexcept { frame_pool::deallocate(memory, size); }
        /// Calls the handler; its memory is free by then.
        virtual void complete(error_code ec, std::unique_ptr<waiter> self) = 0;

        std::unique_ptr<waiter> next;
    };

    template <class Handler>
    struct waiter_for final : waiter {
        explicit waiter_for(Handler&& h)
            : handler(std::move(h)) {}
        void complete(error_code ec, std::unique_ptr<waiter> self) override {
            auto call = std::move(handler);
            self.reset();
            std::move(call)(ec);
        }
        Handler handler;
    };

    void wait(wait_type what, std::unique_ptr<waiter> who);
    /// Takes all that wait for it out, in any order.
    std::unique_ptr<waiter> take(wait_type what) noexcept;
    void complete_later(std::unique_ptr<waiter> all, error_code ec);
    void on_events(std::uint32_t events) override;
    void on_stop() noexcept override;
    error_code open(int descriptor) noexcept;

    poller& poller_;
    int descriptor_ = -1;
    std::unique_ptr<waiter> waiting_[2];
    bool ready_[2] = {false, false};
    /// The peer sends no more.
    bool ended_ = false;
    std::uint8_t burst_ = 0;
};

} // namespace weir::proxy
