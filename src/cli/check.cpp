#include "cli/commands.hpp"
#include "cli/rules.hpp"

namespace weir::cli {
int run_command(check_options const& options, bool json) {
    auto cost = parse_units("--cost", options.cost);
    auto asked = ask_rules(options.which);
    redis_session session(asked.where, asked.timeout);
    auto decided = decide(session, asked, cost, parse_wait(options.wait));
    print_decision(asked, decided, cost, json);
    return decided.allowed ? exit_yes : exit_no;
}

} // namespace weir::cli
