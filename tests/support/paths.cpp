#include "support/paths.hpp"

namespace weir::test {

std::string source_path(std::string_view relative) { return WEIR_SOURCE_DIR "/" + std::string{relative}; }

std::string const& program_path() {
    static std::string const path{WEIR_PROGRAM};
    return path;
}

std::string const& shifted_clock_path() {
    static std::string const path{WEIR_SHIFTED_CLOCK};
    return path;
}

} // namespace weir::test
