#pragma once

#include <weir/detail/config.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace weir::http {

/// A JSON pointer (RFC 6901), taken apart. Immutable once made, so safe to share between threads.
class json_pointer {
public:
    /// The most steps of a pointer.
    static constexpr std::size_t max_steps = 32;

    /// Names the whole document.
    json_pointer() = default;

    /// `text` is empty or begins with `/`; `~1` is `/`, `~0` is `~`. Throws std::invalid_argument, saying what is
    /// wrong, also where it has more than `max_steps` steps.
    WEIR_DECL explicit json_pointer(std::string_view text);

    /// The steps, unescaped.
    std::vector<std::string> const& steps() const noexcept { return steps_; }

    /// As it was written.
    std::string const& text() const noexcept { return text_; }

private:
    std::string text_;
    std::vector<std::string> steps_;
};

} // namespace weir::http

#if defined(WEIR_HEADER_ONLY)
#include <weir/http/impl/json_pointer.ipp>
#endif
