#pragma once

#include <boost/asio/buffer.hpp>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace weir::proxy {

/// What was read from a client and not consumed yet: contiguous, growing by doubling, giving its memory back.
class read_buffer {
public:
    static constexpr std::size_t initial = 4096;

    std::string_view view() const noexcept { return {data_.get() + begin_, end_ - begin_}; }
    char* data() noexcept { return data_.get() + begin_; }
    bool empty() const noexcept { return begin_ == end_; }

    /// Room for at least one byte behind what is there. Invalidates views, unless there was room already.
    boost::asio::mutable_buffer prepare() {
        if (end_ == capacity_)
            make_room(1);
        return {data_.get() + end_, capacity_ - end_};
    }
    void commit(std::size_t n) noexcept { end_ += n; }

    /// Appends a copy of `bytes`. Invalidates views.
    void append(std::string_view bytes) {
        if (capacity_ - end_ < bytes.size())
            make_room(bytes.size());
        std::memcpy(data_.get() + end_, bytes.data(), bytes.size());
        end_ += bytes.size();
    }

    /// Drops the first `n` bytes; the views of the others stay valid. Precondition: `n` <= view().size().
    void consume(std::size_t n) noexcept { begin_ += n; }

    /// Moves what is there to the front, and gives back what grew beyond the initial size once it is not needed.
    void compact() {
        if (begin_ == end_) {
            begin_ = end_ = 0;
            if (capacity_ > initial) {
                data_.reset();
                capacity_ = 0;
            }
        } else if (begin_ != 0) {
            std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
    }

private:
    void make_room(std::size_t n) {
        auto const used = end_ - begin_;
        auto capacity = capacity_ == 0 ? initial : capacity_;
        while (capacity - used < n)
            capacity *= 2;
        std::unique_ptr<char[]> data(new char[capacity]);
        if (used != 0)
            std::memcpy(data.get(), data_.get() + begin_, used);
        data_ = std::move(data);
        capacity_ = capacity;
        begin_ = 0;
        end_ = used;
    }

    std::unique_ptr<char[]> data_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

} // namespace weir::proxy
