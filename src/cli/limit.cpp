#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/rules.hpp"

#include <iostream>

namespace weir::cli {

int run_command(limit_peek_options const& options, bool json) {
    auto asked = ask_rules(options.which);
    redis_session session(asked.where, asked.timeout);
    auto decided = decide(session, asked, 0);
    print_decision(asked, decided, 0, json);
    return decided.allowed ? exit_yes : exit_no;
}

int run_command(limit_reset_options const& options, bool json) {
    auto asked = ask_rules(options.which);
    redis_session session(asked.where, asked.timeout);
    auto forgotten = forget(session, asked);
    if (json)
        std::cout << json_text({{"user", asked.user}, {"endpoint", asked.endpoint}, {"forgotten", forgotten}});
    else
        std::cout << (forgotten ? "forgotten" : "nothing was counted") << ": " << asked.user << " at " << asked.endpoint
                  << '\n';
    return exit_yes;
}

int run_command(limit_refund_options const& options, bool json) {
    auto units = parse_units("--units", options.units);
    if (units == 0)
        throw failure("usage", "--units: at least 1", {});
    auto asked = ask_rules(options.which);
    redis_session session(asked.where, asked.timeout);
    auto taken = take_back(session, asked, units);
    if (json)
        std::cout << json_text(
            {{"user", asked.user}, {"endpoint", asked.endpoint}, {"units", units}, {"refunded", taken}});
    else
        std::cout << (taken ? "refunded " + std::to_string(taken) : "nothing was counted") << ": " << asked.user
                  << " at " << asked.endpoint << '\n';
    return exit_yes;
}

} // namespace weir::cli
