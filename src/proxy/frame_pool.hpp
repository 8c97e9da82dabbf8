#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace weir::proxy {

/// Memory for the frames of coroutines, and what they wait with, kept by size for the next: a request has some ten of
/// them, and what was freed last is what the processor's cache still holds. Asio keeps up to 16 of all sizes up to
/// 1 KiB, looks through them one by one, and gives the others to the allocator.
///
/// While an object lives, allocations of its thread come from it; without one, from the heap. What was allocated may be
/// freed by any thread, with a pool or without, also after the pool's end.
class frame_pool {
public:
    /// Of one size: more than one turn of the loop ever frees ahead of the next.
    static constexpr std::size_t most_kept = 128;
    /// Larger ones are left to the heap.
    static constexpr std::size_t largest = 4096;
#if defined(__SANITIZE_ADDRESS__)
    /// What is used again at once could not be seen to be used after its end.
    static constexpr bool reuses = false;
#else
    static constexpr bool reuses = true;
#endif

    frame_pool() noexcept;
    frame_pool(frame_pool const&) = delete;
    frame_pool& operator=(frame_pool const&) = delete;
    /// Precondition: on the thread on which it was made.
    ~frame_pool();

    /// Throws std::bad_alloc. Aligned as by operator new.
    static void* allocate(std::size_t size) {
        auto* const kind = kind_of(size);
        if (kind == nullptr || kind->first == nullptr)
            return ::operator new(rounded(size));
        auto* const taken = kind->first;
        kind->first = taken->next;
        --kind->kept;
        return taken;
    }

    /// `size` as it was allocated.
    static void deallocate(void* memory, std::size_t size) noexcept {
        auto* const kind = kind_of(size);
        if (kind == nullptr || kind->kept == most_kept) {
            ::operator delete(memory, rounded(size));
            return;
        }
        kind->first = ::new (memory) block{kind->first};
        ++kind->kept;
    }

private:
    struct block {
        block* next;
    };
    struct blocks {
        block* first = nullptr;
        std::size_t kept = 0;
    };

    static constexpr std::size_t step = 64;

    static constexpr std::size_t rounded(std::size_t size) noexcept { return (size + step - 1) / step * step; }

    static blocks* kind_of(std::size_t size) noexcept {
        return reuses && current_ != nullptr && size <= largest ? &current_->kinds_[(size - 1) / step] : nullptr;
    }

    static constinit thread_local frame_pool* current_;

    frame_pool* before_;
    std::array<blocks, largest / step> kinds_{};
};

} // namespace weir::proxy
