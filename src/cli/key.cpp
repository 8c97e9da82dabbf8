#include "cli/commands.hpp"
#include "cli/failure.hpp"
#include "cli/json_text.hpp"

#include <weir/http/api_keys.hpp>

#include <iostream>

namespace weir::cli {
namespace {

nlohmann::ordered_json entry_of(std::string const& key, std::string const& user) {
    return {{"sha256", http::hash_api_key(key)}, {"user", user}};
}

/// From standard input, so that it stands neither in the history of a shell nor in a list of processes.
std::string read_key() {
    std::string key;
    if (!std::getline(std::cin, key) || key.empty())
        throw failure("usage", "no key on standard input", "give it as one line: weir key hash < FILE");
    if (key.back() == '\r')
        key.pop_back();
    return key;
}

} // namespace

int run_command(key_new_options const& options, bool json) {
    if (!http::is_identity_text(options.user))
        throw failure("usage", "--user: 1 to 256 bytes without control characters", {});
    auto const key = http::make_api_key();
    auto entry = entry_of(key, options.user);
    if (json)
        std::cout << json_text({{"key", key}, {"entry", entry}});
    else
        std::cout << "key, for the user, who alone must have it:  " << key
                  << "\nentry, for \"keys\" in the keys_file:        "
                  << entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
    return exit_yes;
}

int run_command(key_hash_options const&, bool json) {
    auto const hash = http::hash_api_key(read_key());
    if (json)
        std::cout << json_text({{"sha256", hash}});
    else
        std::cout << hash << '\n';
    return exit_yes;
}

} // namespace weir::cli
