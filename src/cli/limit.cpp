#include "cli/commands.hpp"
#include "cli/json_text.hpp"
#include "cli/rules.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <iostream>

namespace weir::cli {
namespace {

asio::awaitable<std::uint64_t> forget(redis_session& session, limiter& through, key_part user, key_part endpoint) {
    error_code ec;
    auto forgotten = co_await through.async_reset(user, endpoint, asio::redirect_error(asio::use_awaitable, ec));
    if (ec)
        throw redis_failure(ec, session.client().last_error_text(), session.where());
    co_return forgotten;
}

} // namespace

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
    limiter_options settings;
    settings.key_prefix = asked.key_prefix;
    std::uint64_t forgotten = 0;
    if (asked.rules.empty()) {
        limiter through(session.client(), settings);
        forgotten = session.run(forget(session, through, key_part(asked.user), key_part(asked.endpoint)));
    }
    for (auto const& one : asked.rules) { // each knows its own user and endpoint
        limiter through(session.client(), one.rule, settings);
        forgotten += session.run(forget(session, through, asked.user_of(one), asked.endpoint_of(one)));
    }
    if (json)
        std::cout << json_text({{"user", asked.user}, {"endpoint", asked.endpoint}, {"forgotten", forgotten}});
    else
        std::cout << (forgotten ? "forgotten" : "nothing was counted") << ": " << asked.user << " at " << asked.endpoint
                  << '\n';
    return exit_yes;
}

} // namespace weir::cli
