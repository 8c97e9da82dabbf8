#pragma once

#include <weir/detail/config.hpp>

#include <string>
#include <string_view>

namespace weir::redis {

/// A Lua script that Redis runs atomically, known to the server by the SHA-1 of its text.
///
/// Immutable. It must outlive every client that it is registered with and every `command` that names it.
/// Thread safety: distinct objects: safe; shared objects: safe.
class script {
public:
    /// `name` appears in metrics and logs; `source` is the text that Redis compiles. The digest is computed here, so
    /// that no round trip is needed to learn it.
    WEIR_DECL script(std::string name, std::string_view source);
    script(script const&) = delete;
    script& operator=(script const&) = delete;

    std::string const& name() const noexcept { return name_; }
    std::string const& source() const noexcept { return source_; }
    /// 40 lower-case hexadecimal digits.
    std::string const& sha1() const noexcept { return sha1_; }

private:
    std::string name_;
    std::string source_;
    std::string sha1_;
};

} // namespace weir::redis

#if defined(WEIR_HEADER_ONLY)
#include <weir/redis/impl/script.ipp>
#endif
