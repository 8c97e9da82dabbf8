#include "proxy/upgrade.hpp"

#include <weir/http/detail/bytes.hpp>

#include <algorithm>
#include <ostream> // Boost's strings write to one

namespace weir::proxy {
namespace {

using beast_field = boost::beast::http::field;
using http::detail::equals_ignoring_case;

/// Calls `visit(element)` for the elements of all lines of a list field until it returns true; whether one did.
template <class Visit>
bool any_element(http::detail::head const& head, beast_field of, Visit visit) {
    for (auto const& each : head.fields()) {
        if (each.id != of)
            continue;
        auto list = each.value;
        std::string_view element;
        for (bool more = true; http::detail::next_element(list, element, more);)
            if (visit(element))
                return true;
    }
    return false;
}

bool names_upgrade(http::detail::head const& head) noexcept {
    return any_element(head, beast_field::connection,
                       [](std::string_view option) { return equals_ignoring_case(option, "upgrade"); });
}

} // namespace

void choose_upgrades(http::request_head const& request, std::span<std::string const> allowed, std::string& out) {
    out.clear();
    bool const bodiless = request.framing == http::body_framing::none ||
                          (request.framing == http::body_framing::length && request.content_length == 0);
    if (allowed.empty() || request.version != 11 || !bodiless || !names_upgrade(request))
        return;
    any_element(request, beast_field::upgrade, [&](std::string_view offered) {
        bool const known = std::any_of(allowed.begin(), allowed.end(),
                                       [&](auto const& each) { return equals_ignoring_case(each, offered); });
        if (known)
            out.append(out.empty() ? "" : ", ").append(offered);
        return false;
    });
}

bool is_agreed_switch(http::response_head const& response, std::string_view offered) noexcept {
    if (offered.empty() || response.version != 11 || !names_upgrade(response))
        return false;
    bool const announces_body = response.has_content_length && response.content_length != 0;
    if (announces_body || !response.find(beast_field::transfer_encoding).empty())
        return false;
    unsigned named = 0;
    any_element(response, beast_field::upgrade, [&](std::string_view) { return ++named > 1; });
    if (named != 1)
        return false;
    auto const chosen = response.find(beast_field::upgrade);
    std::string_view element;
    for (bool more = true; http::detail::next_element(offered, element, more);)
        if (equals_ignoring_case(element, chosen))
            return true;
    return false;
}

} // namespace weir::proxy
