// Preloaded into a redis-server (LD_PRELOAD), shifts its wall clock by as many microseconds as the file named by
// WEIR_TEST_CLOCK holds in eight bytes; the monotonic clocks stay as they are. (libfaketime does the same, but its
// initialisation calls itself without end in a program whose allocator is jemalloc, as Debian's redis-server.)

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

std::int64_t shift() {
    static auto const* const at = []() -> std::int64_t const volatile* {
        auto const* const path = std::getenv("WEIR_TEST_CLOCK");
        auto const file = path ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (file < 0)
            return nullptr;
        auto* const mapped = ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
        ::close(file);
        return mapped == MAP_FAILED ? nullptr : static_cast<std::int64_t*>(mapped);
    }
    ();
    return at ? *at : 0;
}

std::int64_t shifted() {
    timespec t{};
    ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return t.tv_sec * 1'000'000 + t.tv_nsec / 1000 + shift();
}

} // namespace

extern "C" {

__attribute__((visibility("default"))) int gettimeofday(timeval* into, void*) noexcept {
    auto const now = shifted();
    into->tv_sec = now / 1'000'000;
    into->tv_usec = now % 1'000'000;
    return 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t which, timespec* into) noexcept {
    if (which != CLOCK_REALTIME)
        return static_cast<int>(::syscall(SYS_clock_gettime, which, into));
    auto const now = shifted();
    into->tv_sec = now / 1'000'000;
    into->tv_nsec = now % 1'000'000 * 1000;
    return 0;
}

__attribute__((visibility("default"))) time_t time(time_t* into) noexcept {
    auto const now = static_cast<time_t>(shifted() / 1'000'000);
    if (into)
        *into = now;
    return now;
}
}
