#pragma once

#include <stdexcept>

namespace weir::test {

/// Calls `start`, which takes free ports and starts what listens on them, again with others where that fails: another
/// process may have taken one in between. What it throws at the fifth time is thrown.
template <class Start>
void with_free_ports(Start&& start) {
    for (int attempt = 1;; ++attempt)
        try {
            return start();
        } catch (std::runtime_error const&) {
            if (attempt == 5)
                throw;
        }
}

} // namespace weir::test
