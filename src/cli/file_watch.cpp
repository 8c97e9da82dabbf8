#include "cli/file_watch.hpp"

#include <boost/asio/buffer.hpp>

#include <sys/inotify.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace weir::cli {
namespace {

namespace fs = std::filesystem;

/// A file that is being written is left alone until it is closed; a link is made in one step.
constexpr std::uint32_t wanted_events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR;

} // namespace

file_watch::file_watch(asio::io_context& io, std::string file, boost::system::error_code& ec)
    : file_(std::move(file))
    , events_(io) {
    auto const descriptor = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (descriptor < 0) {
        ec.assign(errno, boost::system::system_category());
        return;
    }
    events_.assign(descriptor);
    watch_directories();
    known_ = look();
}

void file_watch::run(std::function<void()> changed) {
    changed_ = std::move(changed);
    if (events_.is_open())
        wait();
}

file_watch::identity file_watch::look() const noexcept {
    struct stat now {};
    if (::stat(file_.c_str(), &now) != 0)
        return {};
    return {now.st_dev, now.st_ino, now.st_size, now.st_mtim};
}

/// A file cannot be watched itself: it is another after a rename.
void file_watch::watch_directories() {
    std::error_code ignored; // what is not there now is named by the next reload
    auto const add = [&](fs::path const& of) {
        auto const directory = of.has_parent_path() ? of.parent_path() : fs::path(".");
        ::inotify_add_watch(events_.native_handle(), directory.c_str(), wanted_events);
    };
    add(file_);
    if (auto const real = fs::canonical(file_, ignored); !ignored)
        add(real);
}

void file_watch::wait() {
    events_.async_read_some(asio::buffer(buffer_), [this](boost::system::error_code ec, std::size_t n) {
        if (ec)
            return;
        bool const look_again = heard_of_change(n);
        watch_directories();
        if (auto const now = look(); look_again && !(now == known_) && !(now == identity{})) {
            known_ = now;
            changed_();
        }
        wait();
    });
}

/// Whether one of the events is more than a new, still empty file.
bool file_watch::heard_of_change(std::size_t bytes) const {
    for (std::size_t at = 0; at + sizeof(inotify_event) <= bytes;) {
        inotify_event event{};
        std::memcpy(&event, buffer_.data() + at, sizeof event);
        if ((event.mask & IN_CREATE) == 0)
            return true;
        fs::path const name(buffer_.data() + at + sizeof event);
        std::error_code ignored;
        for (auto const& directory : {fs::path(file_).parent_path(), fs::canonical(file_, ignored).parent_path()})
            if (fs::is_symlink(fs::symlink_status(directory / name, ignored)))
                return true;
        at += sizeof event + event.len;
    }
    return false;
}

} // namespace weir::cli
