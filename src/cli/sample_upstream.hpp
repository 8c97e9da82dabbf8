#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>

#include <atomic>
#include <cstdint>
#include <thread>

namespace weir::cli {

/// A small HTTP service to stand behind the proxy in the demonstration: answers every request with a line of JSON that
/// says what arrived. Runs on a thread of its own, on a free port of 127.0.0.1, until destroyed.
class sample_upstream {
public:
    sample_upstream();
    sample_upstream(sample_upstream const&) = delete;
    sample_upstream& operator=(sample_upstream const&) = delete;
    ~sample_upstream();

    std::uint16_t port() const noexcept { return port_; }
    /// How many requests arrived. Thread safety: safe.
    std::uint64_t requests() const noexcept { return requests_.load(); }

private:
    boost::asio::io_context context_{1};
    std::uint16_t port_ = 0;
    std::atomic<std::uint64_t> requests_{0};
    std::thread thread_;
};

} // namespace weir::cli
