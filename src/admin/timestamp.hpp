#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

namespace weir::admin {

using timestamp = std::chrono::system_clock::time_point;

/// RFC 3339 with milliseconds, in UTC: "2027-01-31T23:59:59.999Z".
inline std::string format_timestamp(timestamp at) {
    auto const whole = std::chrono::floor<std::chrono::seconds>(at);
    auto const rest = std::chrono::duration_cast<std::chrono::milliseconds>(at - whole).count();
    auto const seconds = std::chrono::system_clock::to_time_t(whole);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    auto const n = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::array<char, 16> fraction{};
    std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(rest));
    return std::string(text.data(), n) + fraction.data();
}

} // namespace weir::admin
