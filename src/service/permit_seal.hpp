#pragma once

#include <weir/circuit/core.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::service {

/// A circuit's leave on its way through a program, and when it was given.
struct issued_permit {
    circuit::detached_permit leave;
    /// By which one is told from another: chosen at random.
    std::uint64_t number = 0;
    /// Since 1970, by the clock of the machine that gave it.
    std::chrono::microseconds at{0};
};

/// Writes permits as texts that programs carry and cannot change, and reads them again. Without a secret a text that
/// was changed by mistake is found out, not one that was forged: then whoever reaches the service is believed anyway.
///
/// Thread safety: distinct objects: safe; shared objects: safe.
class permit_seal {
public:
    /// `circuit`: for which alone the texts are good. Both must outlive the object.
    permit_seal(std::string_view circuit, std::string_view secret) noexcept
        : circuit_(circuit)
        , secret_(secret) {}

    /// Printable, without spaces, quotes or anything that JSON or a URL would escape; about 130 characters.
    std::string write(issued_permit const& what) const;
    /// Nothing where it is not exactly what `write` made.
    std::optional<issued_permit> read(std::string_view text) const;

private:
    void append_seal(std::string& to, std::string_view of) const;

    std::string_view circuit_;
    std::string_view secret_;
};

} // namespace weir::service
