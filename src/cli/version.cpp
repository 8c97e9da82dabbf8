#include "cli/version.hpp"

#include <weir/version.hpp>

#include <boost/version.hpp>
#include <hiredis/hiredis.h>

namespace weir::cli {

std::string version_text() {
    std::string text = "weir " WEIR_VERSION_STRING " (hiredis ";
    text += std::to_string(HIREDIS_MAJOR) + '.' + std::to_string(HIREDIS_MINOR) + '.' + std::to_string(HIREDIS_PATCH);
    text += ", Boost " + std::to_string(BOOST_VERSION / 100000) + '.' + std::to_string(BOOST_VERSION / 100 % 1000);
#if defined(__clang__)
    text += ", clang " __clang_version__;
#elif defined(__GNUC__)
    text += ", g++ " __VERSION__;
#endif
    return text + ")";
}

} // namespace weir::cli
