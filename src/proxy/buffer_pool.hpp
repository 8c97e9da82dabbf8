#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace weir::proxy {

/// Blocks of 64 KiB through which bodies stream, kept for reuse. One pool a worker.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe.
class buffer_pool {
public:
    static constexpr std::size_t block_size = std::size_t{64} * 1024;
    /// How much of a stream to read at once: 45 segments of Ethernet with timestamps (RFC 7323), and with a chunk's
    /// framing still less than one of the loopback device. A whole block passed on ends in a segment of a few bytes.
    static constexpr std::size_t piece_size = std::size_t{45} * 1448;

    /// A block that goes back to its pool by itself. Empty after a move.
    class block {
    public:
        block() = default;
        block(block&& other) noexcept
            : pool_(other.pool_)
            , data_(std::move(other.data_)) {}
        block& operator=(block&& other) noexcept {
            release();
            pool_ = other.pool_;
            data_ = std::move(other.data_);
            return *this;
        }
        ~block() { release(); }

        explicit operator bool() const noexcept { return data_ != nullptr; }
        char* data() const noexcept { return data_.get(); }

        void release() noexcept {
            if (data_ && pool_->free_.size() < pool_->free_.capacity())
                pool_->free_.push_back(std::move(data_));
            data_.reset();
        }

    private:
        friend class buffer_pool;
        block(buffer_pool& pool, std::unique_ptr<char[]> data) noexcept
            : pool_(&pool)
            , data_(std::move(data)) {}

        buffer_pool* pool_ = nullptr;
        std::unique_ptr<char[]> data_;
    };

    /// Keeps up to `kept` blocks that are not in use.
    explicit buffer_pool(std::size_t kept) { free_.reserve(kept); }
    buffer_pool(buffer_pool const&) = delete;
    buffer_pool& operator=(buffer_pool const&) = delete;

    /// The pool must outlive the block. The content is not cleared.
    block take() {
        if (free_.empty())
            return block{*this, std::unique_ptr<char[]>(new char[block_size])};
        auto data = std::move(free_.back());
        free_.pop_back();
        return block{*this, std::move(data)};
    }

private:
    std::vector<std::unique_ptr<char[]>> free_;
};

} // namespace weir::proxy
