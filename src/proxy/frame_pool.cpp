#include "proxy/frame_pool.hpp"

#include <utility>

namespace weir::proxy {

constinit thread_local frame_pool* frame_pool::current_ = nullptr;

frame_pool::frame_pool() noexcept
    : before_(std::exchange(current_, this)) {}

frame_pool::~frame_pool() {
    current_ = before_;
    for (std::size_t i = 0; i < kinds_.size(); ++i)
        while (auto* const each = kinds_[i].first) {
            kinds_[i].first = each->next;
            ::operator delete(each, (i + 1) * step);
        }
}

} // namespace weir::proxy
