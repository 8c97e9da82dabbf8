#include "proxy/connection_limit.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

namespace weir::proxy {
namespace {

/// For Redis, the admin side, health checks, and files that are read.
constexpr std::size_t kept_aside = 48;
constexpr std::size_t least = 8;
/// What is no limit in practice.
constexpr std::size_t highest = std::size_t{1} << 24;

std::size_t open_now() {
    std::error_code ignored;
    std::size_t n = 0;
    for ([[maybe_unused]] auto const& each : std::filesystem::directory_iterator("/proc/self/fd", ignored))
        ++n;
    return n;
}

} // namespace

std::shared_ptr<connection_limit> connection_limit::of_this_process(unsigned workers) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    auto const all = std::min<std::size_t>(files.rlim_cur, highest);
    auto const used = open_now() + kept_aside;
    auto const left = all > used + least ? all - used : least;
    // Not every client has a request under way: those that do find a descriptor for it, or wait a moment for one.
    return std::make_shared<connection_limit>(std::max(left / 8 * 5, least),
                                              std::max<std::size_t>(left / 16 / workers, 1));
}

} // namespace weir::proxy
