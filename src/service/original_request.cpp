#include "service/original_request.hpp"

#include <weir/http/detail/bytes.hpp>

#include <ostream> // Boost.URL writes to one

namespace weir::service {
namespace {

/// One thing that several fields may say.
struct told {
    std::string_view value;
    bool there = false;
    bool contradicted = false;

    void take(std::string_view said) noexcept {
        contradicted = contradicted || (there && path_of(value) != path_of(said));
        there = true;
        value = said;
    }
};

} // namespace

std::string_view path_of(std::string_view target) noexcept {
    auto const scheme = target.find("://");
    if (target.starts_with('/') || scheme == target.npos)
        return target;
    auto const path = target.find_first_of("/?", scheme + 3);
    return path == target.npos ? std::string_view{"/"} : target.substr(path);
}

original_request find_original(http::request_head const& asked) noexcept {
    auto const rest = path_of(asked.target).substr(authorize_path.size());
    if (rest.starts_with('/'))
        return {asked.method, rest, {}};
    told method, target;
    for (auto const& each : asked.fields()) {
        if (each.name.size() < 14 || (each.name.front() | 0x20) != 'x')
            continue;
        using http::detail::equals_ignoring_case;
        if (equals_ignoring_case(each.name, "x-original-uri") || equals_ignoring_case(each.name, "x-original-url") ||
            equals_ignoring_case(each.name, "x-forwarded-uri"))
            target.take(each.value);
        else if (equals_ignoring_case(each.name, "x-original-method") ||
                 equals_ignoring_case(each.name, "x-forwarded-method"))
            method.take(each.value);
    }
    if (!target.there)
        return {{}, {}, "no field names the original target: let the proxy set X-Original-URI or X-Forwarded-Uri"};
    if (!method.there)
        return {
            {}, {}, "no field names the original method: let the proxy set X-Original-Method or X-Forwarded-Method"};
    if (target.contradicted)
        return {{}, {}, "several fields name different original targets: let the proxy remove those of the client"};
    if (method.contradicted)
        return {{}, {}, "several fields name different original methods: let the proxy remove those of the client"};
    if (method.value.empty() || !http::detail::all_of(method.value, http::detail::token_byte))
        return {{}, {}, "the original method is none"};
    return {method.value, target.value, {}};
}

} // namespace weir::service
