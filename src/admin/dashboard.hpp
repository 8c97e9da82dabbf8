#pragma once

#include <string>
#include <string_view>

namespace weir::admin {

/// A page that needs nothing but itself, and the policy under which a browser runs nothing but it.
struct page {
    std::string_view document;
    /// The value of Content-Security-Policy: its own script and style by their hashes, connections to where it came
    /// from, nothing else.
    std::string policy;
};

/// The dashboard at `/`. It holds no data, and asks /v1/ for all it shows, with the token that is typed into it.
page const& dashboard();

} // namespace weir::admin
