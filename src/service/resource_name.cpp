#include "service/resource_name.hpp"

#include "service/check_body.hpp"

#include <boost/url/pct_string_view.hpp>

#include <algorithm>

namespace weir::service {

bool is_plain(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= ' ' && c != 127; });
}

std::optional<std::string> read_resource_name(std::string_view path) {
    auto const encoded = boost::urls::make_pct_string_view({path.data(), path.size()});
    if (!encoded)
        return std::nullopt;
    std::string name = encoded->decode();
    if (name.empty() || name.size() > max_name || !is_plain(name))
        return std::nullopt;
    return name;
}

} // namespace weir::service
