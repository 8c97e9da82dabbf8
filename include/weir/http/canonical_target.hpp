#pragma once

#include <weir/http/field.hpp>

#include <string>

namespace weir::http {

/// The one canonical form of a request target. Reuse the object: it keeps its capacity.
///
/// `path` is what the upstream gets, `key` what routes and limits compare. Whatever an upstream may take for the same
/// path has the same `key`, so that no spelling of a path escapes its route or its limit; two paths that an upstream
/// tells apart may share one `key`, which errs on the side of the limit.
struct canonical_target {
    /// Begins with `/`, or is `*`. No empty, `.` or `..` segment; unreserved characters decoded, all other
    /// percent-encoding in upper case; bytes that no URI may hold (`"<>^`{|}` and the back quote) encoded. Case, a
    /// trailing slash and `;parameters` as received: they may mean something to the upstream.
    std::string path;
    /// What stands after `?`, byte for byte; never part of a route or key.
    std::string query;
    /// There was a `?`, be it with nothing behind it.
    bool has_query = false;
    /// `path` in lower case, without `;parameters` of any segment and without a trailing slash (the root is `/`), with
    /// every character that may stand in a segment decoded (`%21` is `!`).
    std::string key;
};

/// Brings the target of a request (`request_head::target`) into its canonical form.
///
/// False with `why` set (status 400) for what has no safe meaning: neither origin-form nor absolute-form http(s); user
/// information or a fragment; a control byte, raw or encoded in the path; `\`, `%5C`, `%2F`, `%00`; a double encoding
/// (`%25` before two hexadecimal digits, after decoding); an overlong UTF-8 form of ASCII; `..` above the root; a
/// segment that its parameters disguise (`..;x`). `out` is unspecified then.
WEIR_DECL bool canonicalize(std::string_view target, canonical_target& out, refusal& why);

/// The form in which a path written in a configuration is compared with `canonical_target::key`: in a pattern that
/// ends in `*` the star is taken off and `prefix` set. False with `why` set when it is not a path.
WEIR_DECL bool canonicalize_pattern(std::string_view pattern, std::string& key, bool& prefix, refusal& why);

/// Whether a key matches a pattern from `canonicalize_pattern`. A prefix that ends in `/` matches the path without that
/// slash too: `/v1/chat/*` takes `/v1/chat`, `/v1/chat/` and `/v1/chat/x`.
inline bool matches(std::string_view key, std::string_view pattern, bool prefix) noexcept {
    if (!prefix)
        return key == pattern;
    return key.starts_with(pattern) ||
           (pattern.ends_with('/') && pattern.size() == key.size() + 1 && pattern.starts_with(key));
}

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/canonical_target.ipp>
#endif
