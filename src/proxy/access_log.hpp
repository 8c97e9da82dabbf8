#pragma once

#include "proxy/exchange.hpp"
#include "proxy/log.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace weir::http::detail {
class text_writer;
}

namespace weir::proxy {

using http::detail::text_writer;

/// The file that access logs go to, written by a thread of its own, so that a slow disk or reader stops no worker. What
/// it cannot take in time, past 16 MiB, is dropped and counted in a line of its own.
///
/// Thread safety: safe.
class access_log_file {
public:
    /// `-` is standard output. Throws std::runtime_error, naming the file, when it cannot be opened.
    access_log_file(std::string const& path, log_function log);
    access_log_file(access_log_file const&) = delete;
    access_log_file& operator=(access_log_file const&) = delete;
    /// Writes what is left.
    ~access_log_file();

    /// Takes whole lines and empties `lines`.
    void write(std::string& lines);

private:
    void run();
    void write_all(std::string_view text);

    static constexpr std::size_t max_pending = std::size_t{16} << 20;

    log_function log_;
    int file_ = -1;
    bool owned_ = false;
    bool failed_ = false;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::string pending_;
    std::uint64_t dropped_ = 0;
    bool ending_ = false;
    std::thread thread_;
};

/// One worker's lines: a JSON object a request, gathered and handed over in blocks.
class access_log {
public:
    /// No file: nothing is logged.
    explicit access_log(std::shared_ptr<access_log_file> file)
        : file_(std::move(file)) {}

    /// Appends the line of a request whose answer is complete, at `x.ended`. `route` is the name of its route, or
    /// empty.
    void add(exchange const& x, std::string_view client, std::string_view route);

    /// Hands over what there is.
    void flush() {
        if (file_ && !lines_.empty())
            file_->write(lines_);
    }

private:
    void append_line(exchange const& x, std::string_view client, std::string_view route);
    void append_time(text_writer& line, boot_clock::time_point at);
    /// Since 1970. The two clocks are compared ten times a second, not for every line: a step of the wall clock is seen
    /// that much later.
    std::chrono::milliseconds wall_time(boot_clock::time_point at);

    static constexpr std::size_t flush_at = std::size_t{64} << 10;

    std::shared_ptr<access_log_file> file_;
    std::string lines_;
    std::chrono::nanoseconds ahead_{0};
    boot_clock::time_point compare_at_;
    std::chrono::seconds second_{0};
    std::string second_text_;
};

} // namespace weir::proxy
