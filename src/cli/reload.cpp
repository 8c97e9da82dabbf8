#include "cli/reload.hpp"

#include "cli/failure.hpp"
#include "cli/serve_config.hpp"

#include <algorithm>
#include <functional>

namespace weir::cli {
namespace {

using config::issue;

std::vector<issue> only_error(std::string message) { return {{issue::severity::error, "", 0, 0, std::move(message)}}; }

} // namespace

std::vector<issue> reloader::try_reload() {
    if (options_.config_file.empty())
        return only_error("started without --config: there is no file to read again");
    try {
        auto loaded = serve_config(options_);
        if (!loaded.value)
            return std::move(loaded.issues);
        auto fixed = server_.reload(loaded.value);
        if (!fixed.empty())
            return fixed;
        state_.changed(*loaded.value);
        return std::move(loaded.issues);
    } catch (failure const& e) { // the file cannot be read
        return only_error(e.what());
    } catch (std::exception const& e) {
        return only_error(e.what());
    }
}

std::vector<issue> reloader::reload(std::string_view asked_by) {
    std::lock_guard const lock(one_at_a_time_);
    auto issues = try_reload();
    bool const refused = std::any_of(issues.begin(), issues.end(), std::mem_fn(&issue::is_error));
    if (refused)
        state_.refused();
    for (auto const& each : issues)
        log_.write(each.is_error() ? log::level::error : log::level::warning, to_string(each, options_.config_file),
                   {{"pointer", each.pointer}, {"line", each.line}});
    if (refused)
        log_.write(log::level::error, "configuration refused (" + std::string(asked_by) + "): the one in effect stays",
                   {{"event", "reload_refused"}});
    else
        log_.write(log::level::info, "configuration reloaded (" + std::string(asked_by) + ")",
                   {{"event", "reloaded"}, {"hash", state_.hash()}});
    return issues;
}

} // namespace weir::cli
