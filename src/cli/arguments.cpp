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
  weir config check weir.json

Environment:
  REDIS_URL        the Redis to use where neither a flag nor the configuration names one
  REDIS_PASSWORD   its password, where the URL has none

Every command understands --json and --help.
Exit codes: 0 yes, 1 no (refused, invalid, unhealthy), 2 error.)";

constexpr char config_check_notes[] = R"(Example:
  weir config check weir.json && systemctl restart weir

Exit codes: 0 valid, 1 every error is listed.)";

constexpr char config_show_notes[] = R"(Example:
  weir config show weir.json

Prints the configuration as it takes effect: defaults written out, environment variables put in, secrets
replaced by ***.)";

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

std::optional<invocation> parse_arguments(int argc, char const* const* argv) {
    chosen result;
    CLI::App app("Weir: rate limits for services, kept in Redis", "weir");
    app.footer(program_notes);
    app.set_version_flag("-V,--version", version_text());
    app.set_help_all_flag("--help-all", "Print the help of all commands and exit");
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    add_config_commands(app, result);
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
