#pragma once

#include <weir/clock.hpp>
#include <weir/error.hpp>
#include <weir/redis/command.hpp>
#include <weir/redis/reply.hpp>

#include <boost/intrusive/list.hpp>

#include <cstdint>
#include <vector>

namespace weir::redis {

/// One command on its way through a `pipeline`. The memory is the caller's, linked into the pipeline's lists, so that
/// nothing is allocated for it; it must stay where it is from `submit` until it is popped as completed.
class operation : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    using clock = boot_clock;

    enum class phase : std::uint8_t {
        /// Not in a pipeline.
        idle,
        /// Waits to be written.
        queued,
        /// Refused for the moment (BUSY, LOADING); waits to be written again.
        delayed,
        /// Written, or about to be; holds a slot until its reply.
        sent,
        /// `result` is final.
        done,
    };

    /// What is asked. `command` and `sink` must stay alive until the operation is completed.
    redis::command const* command = nullptr;
    reply_sink* sink = nullptr;
    clock::time_point deadline{};
    /// May be sent a second time after a lost connection.
    bool idempotent = false;
    /// A step of the handshake: a refusal is final, and observers and statistics are not told.
    bool internal = false;
    /// Goes to a node that does not own its slot yet: ASKING precedes it.
    bool asking = false;
    /// How often another node was named for it.
    std::uint8_t redirects = 0;
    /// Where to note by which connection the reply came; null: nowhere. See `exec_options::answered_by`.
    std::uint64_t* answered_by = nullptr;
    /// Which of several connections it is on: for their owner.
    void* holder = nullptr;

    /// What came of it, final in phase `done`.
    error_code result;

    /// Whether a pipeline has taken it.
    bool submitted() const noexcept { return phase_ != phase::idle; }

    operation(operation const&) = delete;
    operation& operator=(operation const&) = delete;

    /// Hands the result over and ends the life of the operation. Call once, after it was popped as completed.
    void complete() { finish_(this, true); }
    /// Ends the life of the operation without a word to anybody. Precondition: it is in no pipeline any more.
    void destroy() { finish_(this, false); }

protected:
    using finish_function = void (*)(operation*, bool invoke);
    explicit operation(finish_function finish) noexcept
        : finish_(finish) {}
    ~operation() = default;

private:
    friend class pipeline;
    friend class deadline_heap;

    finish_function finish_;
    clock::time_point submitted_{};
    std::size_t heap_index_ = npos;
    // The sequence number of its slot while sent.
    std::uint64_t slot_ = 0;
    // Where its bytes begin, counted over the life of the connection.
    std::uint64_t wire_start_ = 0;
    // How many SCRIPT LOADs had been written when this was.
    std::uint64_t loads_before_ = 0;
    // The last refusal that led to another attempt; 0: none.
    errc refusal_{};
    phase phase_ = phase::idle;
    // Was in flight on a connection that was lost: whatever fails now, it may have been executed.
    bool maybe_executed_ = false;

    static constexpr std::size_t npos = static_cast<std::size_t>(-1);
};

using operation_list = boost::intrusive::list<operation, boost::intrusive::constant_time_size<false>>;

/// The operations by the time at which something must happen to them: a binary heap that operations know their place
/// in, so that any of them can be taken out in logarithmic time. Thread safety: unsafe.
class deadline_heap {
public:
    using time_point = operation::clock::time_point;

    bool empty() const noexcept { return entries_.empty(); }
    std::size_t size() const noexcept { return entries_.size(); }
    /// Precondition: not empty.
    time_point next() const noexcept { return entries_.front().when; }
    operation& top() const noexcept { return *entries_.front().who; }

    /// Precondition: `who` is not in a heap.
    WEIR_DECL void insert(operation& who, time_point when);
    /// Does nothing where `who` is not in the heap.
    WEIR_DECL void erase(operation& who) noexcept;

private:
    struct entry {
        time_point when;
        operation* who;
    };

    WEIR_DECL void sift_up(std::size_t hole, entry moved) noexcept;
    WEIR_DECL void sift_down(std::size_t hole, entry moved) noexcept;
    void place(std::size_t at, entry moved) noexcept {
        entries_[at] = moved;
        moved.who->heap_index_ = at;
    }

    std::vector<entry> entries_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/operation.ipp>
#endif
