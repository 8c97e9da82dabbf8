#pragma once

#include "config/load.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// What loading a configuration has to say, each as `pointer: message`.
inline std::vector<std::string> complaints(std::string_view text) {
    std::vector<std::string> all;
    for (auto const& each : config::load_text(text).issues)
        all.push_back(each.pointer + ": " + each.message);
    return all;
}

} // namespace weir::test
