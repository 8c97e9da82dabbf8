#pragma once

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

/// What the program tells its operator, on standard error: one JSON object a line, or text on a terminal. The same
/// message again within ten seconds is held back, and counted in the next that is written. Thread safety: safe.
class log {
public:
    enum class level { debug, info, warning, error };
    enum class format { json, text };

    log(level least, format as)
        : least_(least)
        , format_(as) {}

    /// `fields` is an object whose members go beside time, level and message in JSON.
    void write(level how, std::string_view message, nlohmann::ordered_json fields = nlohmann::ordered_json::object());

private:
    struct seen {
        level how;
        std::string message;
        std::chrono::steady_clock::time_point last;
        std::uint64_t held_back = 0;
    };

    /// Whether to write a message now, and how often it was held back before.
    bool admit(level how, std::string_view message, std::uint64_t& held_back);

    level least_;
    format format_;
    std::mutex mutex_;
    std::vector<seen> recent_;
};

/// "debug", "info", "warning", "error". Throws `failure` ("usage").
log::level parse_log_level(std::string const& text);

/// "json", "text", "auto": text where standard error is a terminal. Throws `failure` ("usage").
log::format parse_log_format(std::string const& text);

} // namespace weir::cli
