#include "cli/log.hpp"

#include "cli/failure.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

namespace weir::cli {
namespace {

constexpr std::chrono::seconds quiet_time{10};
constexpr std::size_t most_remembered = 64;
constexpr std::array<char const*, 4> level_names{"debug", "info", "warning", "error"};

/// RFC 3339 in UTC, with milliseconds.
std::string timestamp() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::tm parts{};
    ::gmtime_r(&now.tv_sec, &parts);
    std::array<char, 32> date{};
    auto size = std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::array<char, 16> fraction{};
    std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(now.tv_nsec / 1'000'000));
    return std::string(date.data(), size) + fraction.data();
}

/// One write(2) a line, so that the lines of several writers do not mix.
void write_line(std::string const& line) {
    std::string_view rest = line;
    while (!rest.empty()) {
        auto written = ::write(STDERR_FILENO, rest.data(), rest.size());
        if (written <= 0)
            return; // there is nobody to tell
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
}

} // namespace

bool log::admit(level how, std::string_view message, std::uint64_t& held_back) {
    auto now = std::chrono::steady_clock::now();
    auto same = std::find_if(recent_.begin(), recent_.end(),
                             [&](seen const& s) { return s.how == how && s.message == message; });
    if (same != recent_.end()) {
        if (now - same->last < quiet_time) {
            ++same->held_back;
            return false;
        }
        held_back = std::exchange(same->held_back, 0);
        same->last = now;
        return true;
    }
    if (recent_.size() == most_remembered)
        recent_.erase(std::min_element(recent_.begin(), recent_.end(),
                                       [](seen const& a, seen const& b) { return a.last < b.last; }));
    recent_.push_back({how, std::string(message), now, 0});
    return true;
}

void log::write(level how, std::string_view message, nlohmann::ordered_json fields) {
    if (how < least_)
        return;
    std::lock_guard lock(mutex_);
    std::uint64_t held_back = 0;
    if (!admit(how, message, held_back))
        return;
    auto const* name = level_names[static_cast<std::size_t>(how)];
    if (format_ == format::text) {
        auto again = held_back ? " (and " + std::to_string(held_back) + " times before)" : std::string{};
        write_line(std::string(name) + ": " + std::string(message) + again + '\n');
        return;
    }
    nlohmann::ordered_json line{{"time", timestamp()}, {"level", name}, {"message", message}};
    line.update(fields);
    if (held_back)
        line["held_back"] = held_back;
    write_line(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
}

log::level parse_log_level(std::string const& text) {
    for (std::size_t i = 0; i < level_names.size(); ++i)
        if (text == level_names[i])
            return static_cast<log::level>(i);
    throw failure("usage", "--log-level: \"" + text + "\" is not debug, info, warning or error", {});
}

log::format parse_log_format(std::string const& text) {
    if (text == "json")
        return log::format::json;
    if (text == "text")
        return log::format::text;
    if (text == "auto")
        return ::isatty(STDERR_FILENO) ? log::format::text : log::format::json;
    throw failure("usage", "--log-format: \"" + text + "\" is not json, text or auto", {});
}

} // namespace weir::cli
