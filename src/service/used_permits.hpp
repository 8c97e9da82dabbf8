#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace weir::service {

/// Which permits have had their result, of the last sixty thousand or so: a table of constant size, half a megabyte, in
/// which the new displace the old.
///
/// Thread safety: safe. The workers of a process share one.
class used_permits {
public:
    /// Notes it. False: it was there.
    bool add(std::uint64_t number);

private:
    static constexpr std::size_t set_size = 8;
    static constexpr std::size_t sets = 8192;

    std::mutex mutex_;
    /// Sets of `set_size`, the newest first; none before the first is added.
    std::vector<std::uint64_t> numbers_;
};

} // namespace weir::service
