#include "proxy/router.hpp"

#include <weir/http/canonical_target.hpp>

#include <algorithm>
#include <stdexcept>

namespace weir::proxy {

router::router(std::vector<config::route> const& routes) {
    for (auto const& route : routes) {
        entry made;
        made.methods = route.methods;
        http::refusal why;
        if (!http::canonicalize_pattern(route.prefix ? route.path + "*" : route.path, made.key, made.prefix, why))
            throw std::invalid_argument("route " + route.name + ": " + route.path + ": " + std::string(why.reason));
        entries_.push_back(std::move(made));
    }
}

router::match router::find(std::string_view key, std::string_view method) const noexcept {
    match result;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        auto const& e = entries_[i];
        if (!http::matches(key, e.key, e.prefix))
            continue;
        if (e.methods.empty() || std::find(e.methods.begin(), e.methods.end(), method) != e.methods.end()) {
            result.route = i;
            return result;
        }
        result.path_known = true;
    }
    return result;
}

std::string router::allow(std::string_view key) const {
    std::vector<std::string_view> methods;
    for (auto const& e : entries_)
        if (http::matches(key, e.key, e.prefix))
            for (auto const& method : e.methods)
                if (std::find(methods.begin(), methods.end(), method) == methods.end())
                    methods.push_back(method);
    std::string text;
    for (auto method : methods)
        text.append(text.empty() ? "" : ", ").append(method);
    return text;
}

} // namespace weir::proxy
