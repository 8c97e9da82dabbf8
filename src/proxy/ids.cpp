#include "proxy/ids.hpp"

#include <algorithm>

namespace weir::proxy {
namespace {

bool is_lower_hex(char c) noexcept { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool is_id(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), is_lower_hex) && text.find_first_not_of('0') != std::string_view::npos;
}

} // namespace

bool is_sane_request_id(std::string_view id) noexcept {
    auto const sane = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view{"-_.:/+=@~"}.find(c) != std::string_view::npos;
    };
    return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), sane);
}

bool is_valid_traceparent(std::string_view value) noexcept {
    // Later versions may be longer; what they begin with is fixed. ff is no version.
    if (value.size() < 55 || value[2] != '-' || value[35] != '-' || value[52] != '-')
        return false;
    auto const version = value.substr(0, 2);
    if (!is_lower_hex(version[0]) || !is_lower_hex(version[1]) || version == "ff")
        return false;
    if (value.size() > 55 && (version == "00" || value[55] != '-'))
        return false;
    return is_id(value.substr(3, 32)) && is_id(value.substr(36, 16)) && is_lower_hex(value[53]) &&
           is_lower_hex(value[54]);
}

} // namespace weir::proxy
