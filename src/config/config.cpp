#include "config/config.hpp"

namespace weir::config {

std::optional<std::size_t> config::find_limit(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < limits.size(); ++i)
        if (limits[i].rule.name == name)
            return i;
    return std::nullopt;
}

} // namespace weir::config
