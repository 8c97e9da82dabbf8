#include "service/used_permits.hpp"

#include <algorithm>

namespace weir::service {

bool used_permits::add(std::uint64_t number) {
    std::lock_guard const lock(mutex_);
    numbers_.resize(set_size * sets);
    auto const begin = numbers_.begin() + static_cast<std::ptrdiff_t>(number % sets * set_size);
    auto const end = begin + set_size;
    if (std::find(begin, end, number) != end)
        return false;
    std::copy_backward(begin, end - 1, end);
    *begin = number;
    return true;
}

} // namespace weir::service
