#pragma once

#include "config/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace weir::proxy {

/// Finds the route of a request: the first, in the order written, whose path and method both match.
///
/// Immutable, so safe to share between threads.
class router {
public:
    static constexpr std::size_t none = ~std::size_t{0};

    struct match {
        /// Index into `config::routes`, or `none`.
        std::size_t route = none;
        /// No route takes this method, but some take the path with another: answer 405 with `allow()`.
        bool path_known = false;
    };

    /// Throws std::invalid_argument when the path of a route cannot be one (the configuration loader says so before).
    explicit router(std::vector<config::route> const& routes);

    /// `key` is `http::canonical_target::key`.
    match find(std::string_view key, std::string_view method) const noexcept;

    /// The value of `Allow` for that path: every method some route takes.
    std::string allow(std::string_view key) const;

private:
    struct entry {
        std::string key;
        bool prefix = false;
        std::vector<std::string> methods;
    };

    std::vector<entry> entries_;
};

} // namespace weir::proxy
