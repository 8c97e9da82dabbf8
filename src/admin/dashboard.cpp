#include "admin/dashboard.hpp"

#include "admin/page.hpp"

#include <weir/detail/sha256.hpp>

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace weir::admin {
namespace {

/// What stands between `<name>` and `</name>`, as a browser hashes it.
std::string_view inside(std::string_view document, std::string const& name) {
    auto const begin = document.find('<' + name + '>');
    auto const end = document.find("</" + name + '>');
    if (begin == document.npos || end == document.npos)
        throw std::logic_error("the dashboard has no " + name);
    auto const from = begin + name.size() + 2;
    return document.substr(from, end - from);
}

/// CSP level 3, 2.3.1: 'sha256-BASE64'.
std::string hash_source(std::string_view text) {
    auto const digest = detail::sha256(text);
    std::array<unsigned char, 64> encoded{};
    auto const n = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
    return "'sha256-" + std::string(reinterpret_cast<char const*>(encoded.data()), static_cast<std::size_t>(n)) + '\'';
}

} // namespace

page const& dashboard() {
    static page const made{dashboard_document,
                           "default-src 'none'; script-src " + hash_source(inside(dashboard_document, "script")) +
                               "; style-src " + hash_source(inside(dashboard_document, "style")) +
                               "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                               "frame-ancestors 'none'"};
    return made;
}

} // namespace weir::admin
