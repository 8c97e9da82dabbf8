#include "proxy/poller.hpp"

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weir::proxy {

poller::poller()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0)
        throw std::system_error(errno, std::system_category(), "epoll_create1");
}

poller::~poller() {
    stop();
    ::close(epoll_);
}

void poller::start(asio::io_context& io) {
    io_ = &io;
    outer_.emplace(io, epoll_);
}

void poller::stop() noexcept {
    if (outer_)
        outer_->release(); // the sockets that are left take themselves out of it
    outer_.reset();
    io_ = nullptr;
    while (!entries_.empty()) {
        auto& each = entries_.front();
        entries_.pop_front();
        each.on_stop();
    }
}

error_code poller::add(int descriptor, entry& by) noexcept {
    epoll_event what{};
    what.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    what.data.ptr = &by;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &what) != 0)
        return {errno, boost::system::system_category()};
    entries_.push_back(by);
    ++known_;
    return {};
}

void poller::remove(int descriptor, entry& by) noexcept {
    by.unlink();
    --known_;
    epoll_event unused{};
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, &unused);
    for (auto i = next_; i < last_; ++i)
        if (ready_[i].data.ptr == &by)
            ready_[i].data.ptr = nullptr;
}

void poller::begin_wait() {
    ++waits_;
    if (state_ == state::resting)
        arm();
}

void poller::end_waits(std::size_t n) noexcept {
    waits_ -= n;
    if (waits_ == 0 && state_ == state::armed && !stopped()) {
        error_code ignored;
        outer_->cancel(ignored);
    }
}

void poller::arm() {
    state_ = state::armed;
    outer_->async_wait(asio::posix::descriptor_base::wait_read, [this](error_code ec) {
        state_ = state::delivering;
        if (!ec)
            deliver();
        state_ = state::resting;
        if (waits_ != 0)
            arm();
    });
}

void poller::poll() {
    // What becomes ready meanwhile comes behind the others; the loop finds it.
    for (auto rounds = known_ / batch + 1; rounds != 0 && !deliver(); --rounds) {
    }
}

bool poller::deliver() {
    auto const n = ::epoll_wait(epoll_, ready_.data(), static_cast<int>(batch), 0);
    next_ = 0;
    last_ = n > 0 ? static_cast<std::size_t>(n) : 0;
    while (next_ != last_) {
        auto const& each = ready_[next_++];
        auto const events = each.events;
        if (auto* const by = static_cast<entry*>(each.data.ptr))
            by->on_events(events);
    }
    return n < static_cast<int>(batch);
}

} // namespace weir::proxy
