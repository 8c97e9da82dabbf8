#pragma once

#include <weir/detail/config.hpp>
#include <weir/rate_limit/check_script.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir {

/// Units of hot keys that are charged in Redis before they are used, in blocks, so that most requests need not ask it.
///
/// A block is used for `rule::lease` at most, counted from before it was charged, and its rules count that much longer
/// than their window: what is admitted within a window was charged within a window and a lease, which Redis bounds. So
/// nothing is admitted beyond the limit; what is admitted less is the lease's part of window and lease, and what others
/// are refused while a block lies unused.
///
/// Time is an argument, of any clock that does not step back. Bounded. Distinct objects: safe; shared objects: unsafe.
class permit_stock {
public:
    using microseconds = std::chrono::microseconds;

    /// Units that were charged together.
    struct block {
        std::uint64_t left = 0;
        microseconds ends{0};
        std::int64_t receipt = 0;
    };

    /// What is known and kept for requests that have the same rules, on the same terms, and keys.
    struct shelf {
        /// To charge and to give back with.
        check_request request;
        /// Of that: those of the check may be gone.
        std::vector<rule> rules;
        microseconds lease{0};
        std::deque<block> blocks;
        /// What was asked for in this period of a lease's length, and in the one before.
        microseconds period{0};
        std::uint64_t asked = 0, asked_before = 0;
        /// What Redis last said it has left, in the rule that has least.
        std::uint64_t room = 0;
        bool filling = false;
        /// Whether what is being filled in was forgotten before it came.
        bool forgotten = false;
        microseconds not_before{0};
    };

    /// A block that has ended with some left.
    struct remainder {
        shelf* from;
        block what;
    };

    /// Units in all so far: charged ahead, used, given back.
    struct figures {
        std::uint64_t taken = 0, used = 0, returned = 0;
    };

    /// Keeps at most `shelves`; 1 or more.
    explicit permit_stock(std::size_t shelves = 4096)
        : limit_(shelves) {}

    /// The shelf of a request for which `check_request::leasable` holds, valid until the next call, or as long as it is
    /// being filled; null where there are too many.
    WEIR_DECL shelf* shelf_of(check_request const& request, microseconds now);

    /// Notes that so many units were asked for: by that, `wanted` judges. Once for each request.
    void note_demand(shelf& of, std::uint64_t units) noexcept { of.asked += units; }

    /// Uses units of one block; false where none has as many.
    WEIR_DECL bool use(shelf& from, std::uint64_t units, microseconds now);

    /// How many units are to be charged ahead now, shared with `instances` others: what a lease's time has asked for,
    /// but a small part of what is left; 0: none. Where it is not 0, `filled` or `not_filled` must follow.
    WEIR_DECL std::uint64_t wanted(shelf& of, microseconds now, unsigned instances);

    /// Redis has charged `units`, asked at `asked`; they are not used if `forget` came between.
    WEIR_DECL void filled(shelf& to, std::uint64_t units, microseconds asked, std::int64_t receipt, std::uint64_t room);
    WEIR_DECL void not_filled(shelf& to, microseconds now);

    /// Redis has told how much is left.
    WEIR_DECL void told(check_request const& request, std::uint64_t room);

    /// Takes out what has ended.
    WEIR_DECL std::vector<remainder> take_ended(microseconds now);
    /// When the next block ends; `microseconds::max()` where there is none.
    WEIR_DECL microseconds next_end() const noexcept;

    /// What was counted under a key is forgotten, and what was taken of it with it.
    WEIR_DECL void forget(std::string_view key);

    figures const& so_far() const noexcept { return so_far_; }

private:
    WEIR_DECL void name_of(check_request const& request);

    std::size_t limit_;
    std::unordered_map<std::string, shelf> shelves_;
    std::string name_;
    figures so_far_;
};

} // namespace weir

#if defined(WEIR_HEADER_ONLY)
#include <weir/rate_limit/impl/permit_stock.ipp>
#endif
