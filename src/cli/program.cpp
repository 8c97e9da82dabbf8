#include "cli/program.hpp"

#include "cli/arguments.hpp"
#include "cli/commands.hpp"
#include "cli/failure.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <cstring>
#include <iostream>
#include <new>

namespace weir::cli {
namespace {

/// Whether the answer is wanted as JSON, even where the rest of the command line makes no sense.
bool wants_json(int argc, char const* const* argv) {
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int report(bool json, failure const& error) {
    if (json) {
        nlohmann::ordered_json object{{"code", error.code()}, {"message", error.what()}};
        if (!error.remedy().empty())
            object["remedy"] = error.remedy();
        std::cerr << nlohmann::ordered_json{{"error", object}}.dump(-1, ' ', false,
                                                                    nlohmann::ordered_json::error_handler_t::replace)
                  << '\n';
    } else {
        std::cerr << "weir: " << error.what();
        if (!error.remedy().empty())
            std::cerr << ": " << error.remedy();
        std::cerr << '\n';
    }
    return exit_error;
}

} // namespace

int run(int argc, char const* const* argv) {
    // A reader that goes away (`weir ... | head`) is an error of the write, not the end of the program.
    std::signal(SIGPIPE, SIG_IGN);
    auto json = wants_json(argc, argv);
    try {
        auto asked = parse_arguments(argc, argv);
        auto code =
            asked ? std::visit([&](auto const& options) { return run_command(options, asked->json); }, asked->command)
                  : exit_yes;
        if (!std::cout.flush())
            throw failure("output", "the answer could not be written", "is there room on the disk?");
        return code;
    } catch (failure const& error) {
        return report(json, error);
    } catch (std::bad_alloc const&) {
        return report(json, failure("memory", "out of memory", {}));
    } catch (std::exception const& error) {
        return report(json, failure("internal", error.what(), {}));
    }
}

} // namespace weir::cli
