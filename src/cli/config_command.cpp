#include "cli/commands.hpp"
#include "cli/failure.hpp"
#include "cli/json_text.hpp"
#include "config/load.hpp"
#include "config/show.hpp"

#include <algorithm>
#include <functional>
#include <iostream>

namespace weir::cli {
namespace {

using json_value = nlohmann::ordered_json;

json_value issues_as_json(std::vector<config::issue> const& issues) {
    auto list = json_value::array();
    for (auto const& found : issues) {
        json_value one{{"level", found.is_error() ? "error" : "warning"}, {"pointer", found.pointer}};
        if (found.line > 0) {
            one["line"] = found.line;
            one["column"] = found.column;
        }
        one["message"] = found.message;
        list.push_back(std::move(one));
    }
    return list;
}

/// Prints the verdict on a file; true: valid.
bool report(std::string const& file, config::loaded const& result, bool json) {
    auto valid = result.value != nullptr;
    if (json) {
        std::cout << json_text({{"file", file}, {"valid", valid}, {"issues", issues_as_json(result.issues)}});
        return valid;
    }
    for (auto const& found : result.issues)
        (found.is_error() ? std::cerr : std::cout) << to_string(found, file) << '\n';
    auto errors = std::count_if(result.issues.begin(), result.issues.end(), std::mem_fn(&config::issue::is_error));
    if (valid)
        std::cout << file << ": valid\n";
    else
        std::cerr << file << ": " << errors << (errors == 1 ? " error" : " errors") << '\n';
    return valid;
}

/// Loads a file; one that cannot be read is neither valid nor invalid.
config::loaded load(std::string const& file) {
    auto result = config::load_file(file);
    if (!result.value && result.issues.front().line == 0)
        throw failure("file", file + ' ' + result.issues.front().message, {});
    return result;
}

} // namespace

int run_command(config_check_options const& options, bool json) {
    return report(options.file, load(options.file), json) ? exit_yes : exit_no;
}

int run_command(config_show_options const& options, bool json) {
    auto result = load(options.file);
    if (!result.value)
        return report(options.file, result, json), exit_no;
    std::cout << config::show(*result.value).dump(4, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << '\n';
    return exit_yes;
}

} // namespace weir::cli
