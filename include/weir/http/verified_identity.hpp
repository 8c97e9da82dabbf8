#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::http {

/// The longest name of a user, and the longest value of an attribute, in bytes.
inline constexpr std::size_t max_identity_text = 256;

/// Who asks, as a credential proves it. Reusable: what it is assigned keeps its capacity.
struct verified_identity {
    std::string user;
    /// What else is known of the user, such as a team or a plan.
    std::vector<std::pair<std::string, std::string>> attributes;
    /// From when on the credential proves nothing any more.
    std::chrono::sys_seconds expires = std::chrono::sys_seconds::max();

    /// The value of an attribute; empty where there is none.
    std::string_view attribute(std::string_view name) const noexcept {
        for (auto const& [key, value] : attributes)
            if (key == name)
                return value;
        return {};
    }
};

/// Whether a text may name a user or be the value of an attribute: 1 to `max_identity_text` bytes without control
/// characters, so that what counts by several of them can join them by a line feed.
constexpr bool is_identity_text(std::string_view text) noexcept {
    if (text.empty() || text.size() > max_identity_text)
        return false;
    for (unsigned char const c : text)
        if (c < 0x20 || c == 0x7f)
            return false;
    return true;
}

} // namespace weir::http
