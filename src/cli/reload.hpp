#pragma once

#include "admin/config_state.hpp"
#include "cli/log.hpp"
#include "cli/options.hpp"
#include "config/load.hpp"
#include "proxy/server.hpp"

#include <mutex>
#include <string_view>
#include <vector>

namespace weir::cli {

/// Reads the configuration of a running server again and has it take effect, all of it or nothing. Thread safety: safe.
class reloader {
public:
    /// All must outlive it.
    reloader(serve_options const& options, proxy::server& server, admin::config_state& state, log& to)
        : options_(options)
        , server_(server)
        , state_(state)
        , log_(to) {}

    /// What is wrong with it, errors and warnings; with an error the configuration in effect stays. Says in the log
    /// what came of it, and who asked.
    std::vector<config::issue> reload(std::string_view asked_by);

private:
    std::vector<config::issue> try_reload();

    serve_options const& options_;
    proxy::server& server_;
    admin::config_state& state_;
    log& log_;
    std::mutex one_at_a_time_;
};

} // namespace weir::cli
