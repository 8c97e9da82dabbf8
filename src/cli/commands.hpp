#pragma once

#include "cli/options.hpp"

/// The commands, one file each. Each prints its answer on standard output, as JSON if `json` is set, and returns the
/// exit code; what keeps it from answering is thrown as `failure`.
namespace weir::cli {

int run_command(serve_options const& options, bool json);
int run_command(demo_options const& options, bool json);
int run_command(check_options const& options, bool json);
int run_command(limit_peek_options const& options, bool json);
int run_command(limit_reset_options const& options, bool json);
int run_command(limit_refund_options const& options, bool json);
int run_command(config_check_options const& options, bool json);
int run_command(config_show_options const& options, bool json);
int run_command(doctor_options const& options, bool json);
int run_command(circuit_options const& options, bool json);
int run_command(lock_run_options const& options, bool json);
int run_command(lock_options const& options, bool json);
int run_command(key_new_options const& options, bool json);
int run_command(key_hash_options const& options, bool json);
int run_command(top_options const& options, bool json);
int run_command(bench_options const& options, bool json);
int run_command(completion_options const& options, bool json);

} // namespace weir::cli
