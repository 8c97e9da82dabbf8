#pragma once

#include "proxy/io.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/intrusive/list.hpp>

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace weir::proxy {

/// Tells the sockets of one loop when there is something to read or room to write, edge-triggered and remembered by
/// the socket. Asio's own reactor forgets what it was told while nobody waits: there, each read costs one more system
/// call that finds nothing, and a peer that leaves an idle connection is found by asking alone.
///
/// Its epoll descriptor is itself waited for by the loop, only while some socket waits: it keeps no run() from ending.
///
/// Belongs to the loop's thread.
class poller {
    using hook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

public:
    /// What is told.
    class entry : public hook {
    public:
        entry() = default;
        entry(entry const&) = delete;
        entry& operator=(entry const&) = delete;

    protected:
        ~entry() = default;

    private:
        friend class poller;
        /// `events`: of epoll_wait(2). May destroy any entry, this one included.
        virtual void on_events(std::uint32_t events) = 0;
        /// Nothing will be told any more: whoever waits is forgotten. May destroy any entry, this one included.
        virtual void on_stop() noexcept = 0;
    };

    /// Throws std::system_error where there is no descriptor left.
    poller();
    poller(poller const&) = delete;
    poller& operator=(poller const&) = delete;
    ~poller();

    /// By which loop; before all else.
    void start(asio::io_context& io);
    /// The loop has ended: what waits is destroyed without being called. Before the loop is destroyed.
    void stop() noexcept;
    bool stopped() const noexcept { return io_ == nullptr; }

    /// Between start() and stop().
    executor get_executor() const noexcept { return io_->get_executor(); }

    error_code add(int descriptor, entry& by) noexcept;
    /// Before the descriptor is closed: a copy of it in another process would keep it known here.
    void remove(int descriptor, entry& by) noexcept;

    /// Tells at once what there is to tell, without a turn of the loop. Not from within a call of an entry.
    void poll();

    /// One more waits.
    void begin_wait();
    /// So many no longer wait.
    void end_waits(std::size_t n) noexcept;

private:
    static constexpr std::size_t batch = 128;

    void arm();
    /// False when there may be more.
    bool deliver();

    int const epoll_;
    asio::io_context* io_ = nullptr;
    std::optional<asio::posix::basic_stream_descriptor<executor>> outer_;
    boost::intrusive::list<entry, boost::intrusive::base_hook<hook>, boost::intrusive::constant_time_size<false>>
        entries_;
    std::size_t known_ = 0;
    std::size_t waits_ = 0;
    enum class state : std::uint8_t { resting, armed, delivering } state_ = state::resting;
    /// Those of `ready_` from `next_` on are still to be told.
    std::size_t next_ = 0;
    std::size_t last_ = 0;
    std::array<epoll_event, batch> ready_{};
};

} // namespace weir::proxy
