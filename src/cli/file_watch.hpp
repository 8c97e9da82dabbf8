#pragma once

#include <weir/detail/config.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/system/error_code.hpp>

#include <sys/stat.h>

#include <array>
#include <functional>
#include <string>

namespace weir::cli {

/// Tells when a file has become another: written and closed, replaced by a rename, or where it is a symbolic link, the
/// link or what it leads to (as Kubernetes swaps the files of a ConfigMap). Belongs to the thread of its loop.
class file_watch {
public:
    /// From now on changes are noticed. With `ec` the system does not tell of them, and run() does nothing.
    file_watch(asio::io_context& io, std::string file, boost::system::error_code& ec);
    file_watch(file_watch const&) = delete;
    file_watch& operator=(file_watch const&) = delete;

    /// Calls `changed` from the loop for as long as the object lives, for changes before the call, too.
    void run(std::function<void()> changed);

private:
    /// Which file it is, and in what state.
    struct identity {
        dev_t device = 0;
        ino_t inode = 0;
        off_t size = 0;
        timespec modified{};

        bool operator==(identity const& other) const noexcept {
            return device == other.device && inode == other.inode && size == other.size &&
                   modified.tv_sec == other.modified.tv_sec && modified.tv_nsec == other.modified.tv_nsec;
        }
    };

    identity look() const noexcept;
    void watch_directories();
    void wait();
    bool heard_of_change(std::size_t bytes) const;

    std::string file_;
    std::function<void()> changed_;
    asio::posix::stream_descriptor events_;
    identity known_;
    alignas(8) std::array<char, 16384> buffer_{};
};

} // namespace weir::cli
