#include "cli/commands.hpp"
#include "cli/rules.hpp"
#include "config/values.hpp"

namespace weir::cli {
namespace {

std::uint64_t parse_cost(std::string const& text) {
    try {
        auto cost = config::parse_whole_number(text);
        if (cost <= max_cost)
            return cost;
        throw failure("usage", "--cost: at most " + std::to_string(max_cost), {});
    } catch (config::value_error const& e) {
        throw failure("usage", std::string("--cost: ") + e.what(), {});
    }
}

} // namespace

int run_command(check_options const& options, bool json) {
    if (options.algorithm != "sliding_window")
        throw failure("usage", "--algorithm: \"" + options.algorithm + "\" is not supported by this version",
                      "use sliding_window");
    auto cost = parse_cost(options.cost);
    auto asked = ask_rules(options.which);
    redis_session session(asked.where, asked.timeout);
    auto decided = decide(session, asked, cost);
    print_decision(asked, decided, cost, json);
    return decided.allowed ? exit_yes : exit_no;
}

} // namespace weir::cli
