#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weir::test {

/// What processes did with locks and with what locks protect, all times by one clock that does not step (nanoseconds).
struct lock_event {
    enum class kind {
        /// `ok`: granted, with `fence`; else refused.
        acquire,
        /// Believed held from `call` to `end`.
        hold,
        /// `ok`: Redis said that it was held until then.
        release,
        extend,
        /// To a register that compares fences; `ok`: it accepted; `order`: its own count.
        fenced_write,
    };
    int process = 0;
    kind what = kind::acquire;
    bool ok = false;
    std::int64_t call = 0, end = 0;
    std::uint64_t fence = 0;
    std::int64_t order = 0;
};

/// As a line of a file, and back. Throws `std::runtime_error` where a line is none.
std::string to_line(lock_event const& of);
lock_event from_line(std::string const& line);

/// The history in a file; nothing where there is none. A last line without its end is left out: its writer was killed.
std::vector<lock_event> read_history(std::string const& path);

/// What must hold of the history of one lock, and does not: a line each, none where all is well. Takes n log n steps.
///
/// - Fences are unique, and grow in real-time order: granted after another was, higher.
/// - What was released or extended successfully was not another's before: no grant with a higher fence lies between.
/// - The register accepts no fence below the highest it accepted.
/// - `exclusive`: no two holders believed to hold it at the same time. (Only where Redis keeps its data.)
std::vector<std::string> violations(std::vector<lock_event> const& history, bool exclusive);

} // namespace weir::test
