#include "cli/admin_client.hpp"
#include "cli/commands.hpp"
#include "cli/failure.hpp"
#include "cli/top_view.hpp"
#include "config/values.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>
#include <iostream>
#include <sys/ioctl.h>
#include <unistd.h>

namespace weir::cli {
namespace {

struct size {
    std::size_t width = 120, height = 1000;
};

/// Of the terminal; where there is none, a wide and endless one.
size terminal_size() {
    winsize now{};
    if (::isatty(STDOUT_FILENO) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 || now.ws_col == 0)
        return {};
    return {now.ws_col, now.ws_row};
}

/// Waits, until it is over or somebody interrupts; false: interrupted.
class interruptible_wait {
public:
    interruptible_wait() {
        signals_.async_wait([this](boost::system::error_code, int) { interrupted_ = true; });
    }

    bool wait(std::chrono::milliseconds time) {
        asio::steady_timer timer(io_, time);
        bool over = false;
        timer.async_wait([&](boost::system::error_code) { over = true; });
        io_.restart();
        while (!over && !interrupted_)
            io_.run_one();
        return !interrupted_;
    }

private:
    asio::io_context io_{1};
    asio::signal_set signals_{io_, SIGINT, SIGTERM};
    bool interrupted_ = false;
};

std::chrono::milliseconds parse_interval(std::string const& text) {
    if (text.empty())
        return std::chrono::seconds{1};
    try {
        if (auto const parsed = config::parse_duration(text); parsed >= std::chrono::milliseconds{100})
            return parsed;
    } catch (config::value_error const& e) {
        throw failure("usage", std::string("--interval: ") + e.what(), {});
    }
    throw failure("usage", "--interval: at least 100ms", {});
}

std::size_t parse_count(std::string const& text) {
    try {
        return text.empty() ? 10 : static_cast<std::size_t>(config::parse_whole_number(text));
    } catch (config::value_error const& e) {
        throw failure("usage", std::string("--keys: ") + e.what(), {});
    }
}

void show(json_document const& before, json_document const& now, json_document const& top, bool json) {
    if (json) {
        std::cout << json_document{{"status", now}, {"top", top}}.dump(-1, ' ', false,
                                                                       json_document::error_handler_t::replace)
                  << '\n';
        return;
    }
    auto const room = terminal_size();
    if (::isatty(STDOUT_FILENO) != 0)
        std::cout << "\x1b[H\x1b[J"; // to the upper left corner, and clear from there
    for (auto const& line : top_lines(before, now, top, room.width, room.height - 1))
        std::cout << line << '\n';
}

} // namespace

int run_command(top_options const& options, bool json) {
    auto const interval = parse_interval(options.interval);
    auto const hot = "/v1/top?limit=" + std::to_string(parse_count(options.keys));
    admin_client instance(options.where);
    interruptible_wait between;
    auto before = instance.get("/v1/status");
    while (between.wait(interval)) {
        auto now = instance.get("/v1/status");
        // Another configuration counts by other names: what was before is not to be compared.
        if (now.at("config_hash") == before.at("config_hash") && now.at("uptime_s") >= before.at("uptime_s"))
            show(before, now, instance.get(hot), json);
        if (!std::cout.flush())
            throw failure("output", "the view could not be written", {});
        before = std::move(now);
        if (options.once)
            break;
    }
    return exit_yes;
}

} // namespace weir::cli
