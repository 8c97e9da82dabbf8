#include "cli/arguments.hpp"

#include "cli/failure.hpp"
#include "cli/version.hpp"
#include "config/values.hpp"

#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>

namespace weir::cli {
namespace {

constexpr char program_notes[] = R"(Examples:
  weir demo                                  see it at work: private Redis, traffic, a report
  weir serve --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --limit 100/1m
  weir serve --config weir.json
  weir check --user alice --endpoint /v1/chat --limit 10/1m
  weir lock run nightly-report -- ./report.sh
  weir config check weir.json
  weir doctor

Environment:
  REDIS_URL        the Redis to use where neither a flag nor the configuration names one
  REDIS_PASSWORD   its password, where the URL has none

Every command understands --json and --help.
Exit codes: 0 yes, 1 no (refused, invalid, unhealthy), 2 error.)";

constexpr char serve_notes[] = R"(Examples:
  weir serve --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000 --limit 100/1m
  weir serve --listen :8080 --upstream http://10.0.0.1:9000 --upstream http://10.0.0.2:9000 \
             --identity header:x-user-id --limit 10/1s --limit 1000/1h --redis redis://10.0.0.9
  weir serve --config /etc/weir/weir.json --workers 4

Without --redis, without a url in the configuration and without REDIS_URL, a private redis-server is
started: counts are then neither shared with other instances nor kept over a restart.
SIGTERM and SIGINT let running requests finish (`drain` in the configuration), a second one does not.)";

constexpr char demo_notes[] = R"(Examples:
  weir demo            runs a few seconds and reports what was let through and what was refused
  weir demo --keep     goes on until Ctrl-C, with the addresses to try yourself)";

constexpr char check_notes[] = R"(Examples:
  weir check --user alice --endpoint /v1/chat --limit 10/1m
  weir check --user alice --endpoint chat --rule per-user --config weir.json --cost 5 --json
  weir check --user alice --endpoint /v1/chat --limit 10/1m --algorithm token_bucket --burst 50
  weir check --user alice --endpoint report --limit 2/10m --algorithm concurrency    two at a time, for 10 minutes
  if weir check --user "$USER" --endpoint deploy --limit 3/1h; then ./deploy; fi

Exit codes: 0 admitted, 1 refused, 2 error.)";

constexpr char peek_notes[] = R"(Examples:
  weir limit peek --user alice --endpoint /v1/chat --limit 10/1m

Exit codes: 0 one more would be admitted, 1 it would be refused, 2 error.)";

constexpr char reset_notes[] = R"(Examples:
  weir limit reset --user alice --endpoint chat --rule per-user --config weir.json
  weir limit reset --user alice --endpoint chat          forgets all rules of that user and endpoint)";

constexpr char refund_notes[] = R"(Examples:
  weir limit refund --user alice --endpoint /v1/chat --limit 100/1m --units 5
  weir limit refund --user alice --endpoint chat --rule per-user --config weir.json --units 1

Takes back what was charged last and still counts, and never more than that.)";

constexpr char config_check_notes[] = R"(Example:
  weir config check weir.json && systemctl restart weir

Exit codes: 0 valid, 1 every error is listed.)";

constexpr char config_show_notes[] = R"(Example:
  weir config show weir.json

Prints the configuration as it takes effect: defaults written out, environment variables put in, secrets
replaced by ***.)";

constexpr char doctor_notes[] = R"(Examples:
  weir doctor
  weir doctor --redis redis://10.0.0.9:6379
  weir doctor --config weir.json --json

Exit codes: 0 healthy, 1 something needs attention, 2 Redis cannot be asked.)";

constexpr char key_new_notes[] = R"(Example:
  weir key new --user alice

Put the entry into "keys" of the keys_file that the configuration names (identity, api_key), and give the key to its user:
it is kept nowhere. Weir reads the file when it starts, and again on SIGHUP.)";

constexpr char key_hash_notes[] = R"(Example:
  weir key hash < key.txt

Reads the key from standard input, up to the end of the line, and prints its SHA-256 as the keys_file has it. Only for keys
that are random: what people think up can be guessed back from such a hash.)";

constexpr char top_notes[] = R"(Examples:
  weir top                                   the instance on this host, each second, until Ctrl-C
  weir top --admin 10.0.0.7:9900             WEIR_ADMIN_TOKEN holds its token
  weir top --once --json | jq .top.keys)";

constexpr char bench_notes[] = R"(Examples:
  weir bench                                 each algorithm, against redis://127.0.0.1:6379
  weir bench --redis redis://10.0.0.9 --limit 100/1m --concurrency 256 --duration 10s

Asks limits of its own under keys of its own, which it removes; the Redis works hard meanwhile.)";

constexpr char completion_notes[] = R"(Examples:
  source <(weir completion bash)
  weir completion zsh > "${fpath[1]}/_weir"
  weir completion fish > ~/.config/fish/completions/weir.fish)";

constexpr char circuit_show_notes[] = R"(Example:
  weir circuit show api

Prints the state, why it last opened, and the latest changes with who made them. What Redis knows nothing of is closed.)";

constexpr char circuit_set_notes[] = R"(Examples:
  weir circuit open api --for 10m --why "the upstream burns"
  weir circuit disable api --why "load test"
  weir circuit auto api

Holds over the whole fleet, and is kept with who and why. What was open by hand is tried by probes first when it ends.)";

constexpr char lock_run_notes[] = R"(Examples:
  weir lock run nightly-report -- /usr/local/bin/report
  weir lock run deploy --wait 10m --ttl 1m -- ./deploy.sh production
  weir lock run import --limit 3 --wait forever -- ./import.sh      at most three at once
  */5 * * * *  weir lock run poll --busy-exit-code 0 -- poll         in a crontab: busy is no error

Runs the command while it holds the lock, over all machines that share the Redis. WEIR_FENCE in its environment grows
with each grant; where it is written to, compare it. If the lock is lost, the command and all it started get TERM, and
KILL at the end of --grace.

Exit codes: that of the command, or 128 and the signal that ended it; 1 (or --busy-exit-code) somebody else holds the
lock, 2 Redis cannot be asked, 126 and 127 the command cannot be run.)";

constexpr char lock_show_notes[] = R"(Examples:
  weir lock list
  weir lock show deploy --json

Exit codes of show: 0 somebody holds it, 1 nobody, 2 error.)";

constexpr char lock_break_notes[] = R"(Example:
  weir lock break deploy

Takes the lock from whoever holds it and gives it to the next who waits. Who held it is told at once, and loses it; what
he still writes carries an older fence.

Exit codes: 0 somebody held it, 1 nobody, 2 error.)";

/// Where the parsed command ends up: the callback of the subcommand that was chosen fills it.
using chosen = std::optional<invocation>;

/// A subcommand whose options live as long as the parser.
template <class Options>
CLI::App* add_command(CLI::App& parent, chosen& result, std::string const& name, std::string const& description,
                      std::shared_ptr<Options> const& options, char const* notes) {
    auto* app = parent.add_subcommand(name, description);
    auto json = std::make_shared<bool>(false);
    app->add_flag("--json", *json, "Answer in JSON");
    app->footer(notes);
    app->final_callback([&result, options, json] { result = invocation{*options, *json}; });
    return app;
}

CLI::Option* add_redis(CLI::App& app, std::string& url) {
    return app
        .add_option("--redis", url,
                    "Redis to use: redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path")
        ->type_name("URL");
}

CLI::Option* add_config(CLI::App& app, std::string& file) {
    return app.add_option("-c,--config", file, "Configuration file")->type_name("FILE");
}

void add_serve(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<serve_options>();
    auto* app = add_command(parent, result, "serve", "Run the reverse proxy", options, serve_notes);
    add_config(*app, options->config_file);
    app->add_option("-l,--listen", options->listen, "Where clients connect; may be repeated; port 0 takes a free one")
        ->type_name("ADDRESS:PORT")
        ->allow_extra_args(false);
    app->add_option("-u,--upstream", options->upstreams, "Service behind the proxy; repeated: in turn")
        ->type_name("URL")
        ->allow_extra_args(false);
    app->add_option("--limit", options->limits, "Such as 100/1m, or NAME=100/1m; may be repeated: all must admit")
        ->type_name("N/WINDOW")
        ->allow_extra_args(false);
    app->add_option("--per", options->per, "What is counted: user, ip, header:NAME, *; repeated: combined")
        ->type_name("PART")
        ->allow_extra_args(false);
    app->add_option("--identity", options->identity, "How to know a user: header:NAME or ip; repeated: the first found")
        ->type_name("SOURCE")
        ->allow_extra_args(false);
    app->add_option("--trusted-proxy", options->trusted_proxies,
                    "Peer whose X-Forwarded-For is believed; may be repeated")
        ->type_name("NETWORK")
        ->allow_extra_args(false);
    app->add_option("--on-redis-failure", options->on_redis_failure,
                    "What decides while Redis is away: local, open or closed")
        ->type_name("POLICY");
    add_redis(*app, options->redis);
    app->add_flag("--allow-redis-down", options->allow_redis_down,
                  "Start even while Redis cannot be reached, deciding by --on-redis-failure until it can");
    app->add_option("--admin", options->admin, "Where operators and Prometheus connect (127.0.0.1:9900)")
        ->type_name("ADDRESS:PORT");
    app->add_option("--decision", options->decision, "Where the decision service is asked (none)")
        ->type_name("ADDRESS:PORT");
    app->add_option("-w,--workers", options->workers, "Threads; 0: one a core")->type_name("N");
    app->add_option("--access-log", options->access_log, "File to append to, - for standard output, or off")
        ->type_name("FILE");
    app->add_option("--log-level", options->log_level, "debug, info, warning or error")->capture_default_str();
    app->add_option("--log-format", options->log_format, "json, text, or auto: text on a terminal")
        ->capture_default_str();
}

void add_demo(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<demo_options>();
    auto* app = add_command(parent, result, "demo", "See it at work, with a Redis and an upstream of its own", options,
                            demo_notes);
    app->add_flag("--keep", options->keep, "Go on until Ctrl-C");
}

void add_rule(CLI::App& app, rule_options& which, bool needed) {
    app.add_option("--user", which.user, "Who: what the rule counts by")->type_name("U")->required();
    app.add_option("--endpoint", which.endpoint, "For what: a route's name or a path")->type_name("E")->required();
    app.add_option("--limit", which.limits, "A rule as 10/1m or NAME=10/1m; may be repeated")
        ->type_name("N/WINDOW")
        ->allow_extra_args(false);
    app.add_option("--algorithm", which.algorithm,
                   "How --limit counts: sliding_window (as without it), token_bucket, fixed_window or concurrency")
        ->type_name("NAME");
    app.add_option("--burst", which.burst, "Units a token_bucket admits at once (as many as the limit)")
        ->type_name("N");
    app.add_option("--rule", which.rules, "A limit of the configuration file; may be repeated")
        ->type_name("NAME")
        ->allow_extra_args(false);
    add_config(app, which.config_file);
    add_redis(app, which.redis);
    app.add_option("--key-prefix", which.key_prefix, "Stands before every key")->type_name("TEXT");
    app.add_option("--timeout", which.timeout, "For the decision, such as 250ms (1s)")->type_name("DURATION");
    app.parse_complete_callback([&which, needed, name = app.get_name()] {
        if (!which.rules.empty() && which.config_file.empty())
            throw CLI::ValidationError("--rule", "names a limit of a file: give the file with --config");
        if (needed && which.limits.empty() && which.rules.empty())
            throw CLI::ValidationError(name, "which limit? Give --limit 10/1m, or --rule NAME --config FILE");
    });
}

void add_check(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<check_options>();
    auto* app = add_command(parent, result, "check", "Ask a limit once, and be counted", options, check_notes);
    add_rule(*app, options->which, true);
    app->add_option("--cost", options->cost, "Units to charge; 0 asks without being counted")->capture_default_str();
    app->add_option("--wait", options->wait, "Wait for room that long rather than be refused")->capture_default_str();
}

void add_limit(CLI::App& parent, chosen& result) {
    auto* app = parent.add_subcommand("limit", "Look at what a limit has counted, take some back, or forget it");
    app->require_subcommand(1);
    auto peek = std::make_shared<limit_peek_options>();
    auto* peek_app =
        add_command(*app, result, "peek", "What a limit has left, without being counted", peek, peek_notes);
    add_rule(*peek_app, peek->which, true);
    auto reset = std::make_shared<limit_reset_options>();
    auto* reset_app = add_command(*app, result, "reset", "Forget what was counted", reset, reset_notes);
    add_rule(*reset_app, reset->which, false);
    auto refund = std::make_shared<limit_refund_options>();
    auto* refund_app = add_command(*app, result, "refund", "Take back units that were charged", refund, refund_notes);
    add_rule(*refund_app, refund->which, true);
    refund_app->add_option("--units", refund->units, "How many")->type_name("N")->required();
}

void add_config_commands(CLI::App& parent, chosen& result) {
    auto* app = parent.add_subcommand("config", "Check or show a configuration file");
    app->require_subcommand(1);
    auto check = std::make_shared<config_check_options>();
    add_command(*app, result, "check", "List every error of a file", check, config_check_notes)
        ->add_option("FILE", check->file)
        ->required();
    auto show = std::make_shared<config_show_options>();
    add_command(*app, result, "show", "Print a file as it takes effect", show, config_show_notes)
        ->add_option("FILE", show->file)
        ->required();
}

void add_doctor(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<doctor_options>();
    auto* app =
        add_command(parent, result, "doctor", "Examine a Redis and say what to do about it", options, doctor_notes);
    add_redis(*app, options->redis);
    add_config(*app, options->config_file);
    app->add_option("--timeout", options->timeout,
                    "What a decision may take, such as 250ms (redis.timeout of the file, or 50ms)")
        ->type_name("DURATION");
}

std::shared_ptr<circuit_options> add_circuit_command(CLI::App& parent, chosen& result, circuit_options::action what,
                                                     std::string const& name, std::string const& description) {
    using action = circuit_options::action;
    auto options = std::make_shared<circuit_options>();
    options->what = what;
    auto* app = add_command(parent, result, name, description, options,
                            what == action::set ? circuit_set_notes : circuit_show_notes);
    if (what != action::list)
        app->add_option("NAME", options->name, "The circuit")->required();
    add_redis(*app, options->redis);
    app->add_option("--key-prefix", options->key_prefix, "Stands before every key")->type_name("TEXT");
    if (what == action::set) {
        app->add_option("--why", options->why, "Kept with the change")->type_name("TEXT");
        app->add_option("--who", options->who, "Who does it (USER@HOST)")->type_name("NAME");
    }
    if (name == "open" || name == "disable")
        app->add_option("--for", options->lasts, "Until it is given back to itself, such as 10m")
            ->type_name("DURATION");
    return options;
}

void add_circuit(CLI::App& parent, chosen& result) {
    using action = circuit_options::action;
    auto* app = parent.add_subcommand("circuit", "See circuit breakers, or set one by hand");
    app->require_subcommand(1);
    add_circuit_command(*app, result, action::list, "list", "All circuits that Redis knows");
    add_circuit_command(*app, result, action::show, "show", "One circuit: state, why it opened, history");
    auto const set = [&](char const* name, char const* description) {
        return add_circuit_command(*app, result, action::set, name, description);
    };
    set("open", "Refuse all calls")->to = circuit::state::forced_open;
    set("close", "Close it now, with counts of its own anew")->to = circuit::state::closed;
    set("disable", "Let all calls through, and count nothing")->to = circuit::state::disabled;
    set("auto", "Give it back to itself");
}

void add_lock_run(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<lock_run_options>();
    auto* app = add_command(parent, result, "run", "Run a command under a lock", options, lock_run_notes);
    app->add_option("NAME", options->name, "The lock")->required();
    app->add_option("COMMAND", options->command, "What is run, after --")->required();
    app->add_option("--ttl", options->ttl, "How long Redis keeps the lock once this machine is gone")
        ->type_name("DURATION")
        ->capture_default_str();
    app->add_option("--wait", options->wait, "How long to wait for it, or forever")
        ->type_name("DURATION")
        ->capture_default_str();
    app->add_option("--grace", options->grace, "From TERM to KILL, if the lock is lost")
        ->type_name("DURATION")
        ->capture_default_str();
    auto* shared = app->add_flag("--shared", options->shared, "With others that say --shared, and none that does not");
    app->add_option("--limit", options->limit, "How many may hold it at once")
        ->type_name("N")
        ->check(CLI::Range(1, 1'000'000))
        ->excludes(shared);
    app->add_option("-E,--busy-exit-code", options->busy_exit_code, "If somebody else holds the lock")
        ->type_name("N")
        ->check(CLI::Range(0, 255))
        ->capture_default_str();
    app->add_option("--who", options->who, "For weir lock show (USER@HOST)")->type_name("NAME");
    add_redis(*app, options->redis);
    app->add_option("--key-prefix", options->key_prefix, "Stands before every key")->type_name("TEXT");
}

void add_lock(CLI::App& parent, chosen& result) {
    auto* app = parent.add_subcommand("lock", "Run a command under a lock, or see who holds one");
    app->require_subcommand(1);
    add_lock_run(*app, result);
    auto const add = [&](lock_options::action what, char const* name, char const* description, char const* notes) {
        auto options = std::make_shared<lock_options>();
        options->what = what;
        auto* command = add_command(*app, result, name, description, options, notes);
        if (what != lock_options::action::list)
            command->add_option("NAME", options->name, "The lock")->required();
        add_redis(*command, options->redis);
        command->add_option("--key-prefix", options->key_prefix, "Stands before every key")->type_name("TEXT");
    };
    add(lock_options::action::list, "list", "All locks that are held or waited for", lock_show_notes);
    add(lock_options::action::show, "show", "One lock: who holds it, who waits", lock_show_notes);
    add(lock_options::action::break_open, "break", "Take it from whoever holds it", lock_break_notes);
}

void add_key(CLI::App& parent, chosen& result) {
    auto* app = parent.add_subcommand("key", "Make or hash API keys");
    app->require_subcommand(1);
    auto made = std::make_shared<key_new_options>();
    add_command(*app, result, "new", "Make a random key, and its entry for the file of keys", made, key_new_notes)
        ->add_option("--user", made->user, "Whose key it is")
        ->type_name("U")
        ->required();
    add_command(*app, result, "hash", "Hash a key read from standard input", std::make_shared<key_hash_options>(),
                key_hash_notes);
}

void add_top(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<top_options>();
    auto* app =
        add_command(parent, result, "top", "Watch a running instance: routes, limits, hot keys", options, top_notes);
    app->add_option("--admin", options->where.address, "Its admin address (127.0.0.1:9900)")->type_name("ADDRESS:PORT");
    app->add_option("--token", options->where.token, "Its admin token (WEIR_ADMIN_TOKEN)")->type_name("TEXT");
    add_config(*app, options->where.config_file);
    app->add_option("--interval", options->interval, "Between two looks (1s)")->type_name("DURATION");
    app->add_option("--keys", options->keys, "How many hot keys (10)")->type_name("N");
    app->add_flag("--once", options->once, "Look once, over one interval, and end");
}

void add_bench(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<bench_options>();
    auto* app = add_command(parent, result, "bench", "Measure decisions a second and their latency, by rule", options,
                            bench_notes);
    app->add_option("--limit", options->limits, "A rule as 10/1m; may be repeated (100/1m by each algorithm)")
        ->type_name("N/WINDOW")
        ->allow_extra_args(false);
    app->add_option("--algorithm", options->algorithm, "How --limit counts (sliding_window)")->type_name("NAME");
    app->add_option("--duration", options->duration, "For each measurement (2s)")->type_name("DURATION");
    app->add_option("--concurrency", options->concurrency, "Decisions in flight, beside one at a time (64)")
        ->type_name("N");
    app->add_option("--users", options->users, "Users that ask in turn (1000)")->type_name("N");
    add_redis(*app, options->redis);
}

void add_completion(CLI::App& parent, chosen& result) {
    auto options = std::make_shared<completion_options>();
    add_command(parent, result, "completion", "Print the completion script of a shell", options, completion_notes)
        ->add_option("SHELL", options->shell, "bash, zsh or fish")
        ->required();
}

/// The words of CLI11's complaint, in one line.
std::string complaint(CLI::ParseError const& error) {
    std::string text = error.what();
    for (auto& c : text)
        if (c == '\n')
            c = ' ';
    while (!text.empty() && (text.back() == ' ' || text.back() == '.'))
        text.pop_back();
    return text;
}

/// "weir limit peek", as far as subcommands were understood.
std::string path_of(CLI::App const& app) {
    std::string path = app.get_name();
    for (auto const* next = &app; !next->get_subcommands().empty();) {
        next = next->get_subcommands().front();
        path += ' ' + next->get_name();
    }
    return path;
}

/// What to say where the first word is no command: CLI11 only says that one is missing.
std::optional<std::string> unknown_command(CLI::App const& app, int argc, char const* const* argv) {
    if (!app.get_subcommands().empty() || argc < 2 || argv[1][0] == '-')
        return std::nullopt;
    std::vector<std::string> names;
    for (auto const* command : app.get_subcommands([](CLI::App const*) { return true; }))
        names.push_back(command->get_name());
    return "there is no command \"" + std::string(argv[1]) + '"' +
           config::suggest_name(argv[1], {names.begin(), names.end()});
}

} // namespace

namespace {

void add_all(CLI::App& app, chosen& result) {
    app.footer(program_notes);
    app.set_version_flag("-V,--version", version_text());
    app.set_help_all_flag("--help-all", "Print the help of all commands and exit");
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    add_serve(app, result);
    add_demo(app, result);
    add_check(app, result);
    add_limit(app, result);
    add_config_commands(app, result);
    add_doctor(app, result);
    add_circuit(app, result);
    add_lock(app, result);
    add_key(app, result);
    add_top(app, result);
    add_bench(app, result);
    add_completion(app, result);
}

command_words describe(CLI::App const& app) {
    command_words made{app.get_name(), app.get_description(), {}, false, {}};
    for (auto const* option : app.get_options()) {
        bool const file = option->get_type_name() == "FILE" || option->get_name() == "FILE";
        if (!option->nonpositional()) {
            made.takes_file = made.takes_file || file;
            continue;
        }
        option_words words{{}, option->get_description(), option->get_items_expected_max() > 0, file};
        for (auto const& name : option->get_lnames())
            words.names.push_back("--" + name);
        for (auto const& name : option->get_snames())
            words.names.push_back("-" + name);
        made.options.push_back(std::move(words));
    }
    for (auto const* command : app.get_subcommands([](CLI::App const*) { return true; }))
        made.commands.push_back(describe(*command));
    return made;
}

constexpr char program_description[] = "Weir: rate limits, circuit breakers and locks for services, kept in Redis";

} // namespace

command_words describe_commands() {
    chosen unused;
    CLI::App app(program_description, "weir");
    add_all(app, unused);
    return describe(app);
}

std::optional<invocation> parse_arguments(int argc, char const* const* argv) {
    chosen result;
    CLI::App app(program_description, "weir");
    add_all(app, result);
    try {
        app.parse(argc, argv);
    } catch (CLI::Success const& answer) { // --help and --version
        app.exit(answer, std::cout, std::cerr);
        return std::nullopt;
    } catch (CLI::ParseError const& error) {
        auto path = path_of(app);
        throw failure("usage", unknown_command(app, argc, argv).value_or(complaint(error)), "see " + path + " --help");
    }
    return result;
}

} // namespace weir::cli
