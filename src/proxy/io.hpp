#pragma once

#include "proxy/awaitable.hpp"

#include <weir/detail/config.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

// The Asio types of the proxy.
namespace weir::proxy {

using boost::system::error_code;
using tcp = asio::ip::tcp;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;

/// The completion token of every operation: `auto [ec, n] = co_await ...`, no exception on the data path.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<executor>> use_result{};

/// The same for the waits of sockets, without a coroutine in between: the operation keeps its arguments by value.
inline constexpr asio::as_tuple_t<asio::deferred_t> in_place{};

/// Slices to be written in one system call; what a partial write left stays in place.
class gather_list {
public:
    static constexpr std::size_t capacity = 16;

    /// Precondition: fewer than `capacity` slices so far. Empty slices are left out.
    void add(std::string_view slice) noexcept {
        if (!slice.empty())
            slices_[last_++] = asio::const_buffer{slice.data(), slice.size()};
    }

    void clear() noexcept { first_ = last_ = 0; }
    bool empty() const noexcept { return first_ == last_; }

    std::span<asio::const_buffer const> buffers() const noexcept {
        return std::span{slices_}.subspan(first_, last_ - first_);
    }

    std::size_t size() const noexcept {
        std::size_t total = 0;
        for (auto const& slice : buffers())
            total += slice.size();
        return total;
    }

    /// Drops the first `n` bytes. Precondition: `n` <= size().
    void consume(std::size_t n) noexcept {
        while (n != 0) {
            auto& slice = slices_[first_];
            if (n < slice.size()) {
                slice += n;
                return;
            }
            n -= slice.size();
            ++first_;
        }
    }

private:
    std::array<asio::const_buffer, capacity> slices_;
    std::size_t first_ = 0;
    std::size_t last_ = 0;
};

} // namespace weir::proxy
