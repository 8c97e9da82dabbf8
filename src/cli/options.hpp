#pragma once

#include <weir/circuit/state.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

/// What the command line asked for: one structure a command, still as text where the text has a language of its own
/// (config/values.hpp), so that the command can say what is wrong with it.
namespace weir::cli {

struct serve_options {
    std::string config_file;
    std::vector<std::string> listen;
    std::vector<std::string> upstreams;
    std::vector<std::string> limits;
    std::vector<std::string> per;
    std::vector<std::string> identity;
    std::vector<std::string> trusted_proxies;
    std::string on_redis_failure;
    std::string redis;
    std::string admin;
    std::string decision;
    std::string workers;
    std::string access_log;
    std::string log_level = "info";
    std::string log_format = "auto";
    bool allow_redis_down = false;
};

struct demo_options {
    bool keep = false;
};

/// Which rule, of whom, for what: what `check` and `limit` share.
struct rule_options {
    std::string user;
    std::string endpoint;
    std::vector<std::string> limits;
    /// Of the limits; empty: as in a configuration that does not say.
    std::string algorithm;
    std::string burst;
    std::vector<std::string> rules;
    std::string config_file;
    std::string redis;
    std::string key_prefix;
    std::string timeout;
};

struct check_options {
    rule_options which;
    std::string cost = "1";
    std::string wait = "0s";
};

struct limit_peek_options {
    rule_options which;
};

struct limit_reset_options {
    rule_options which;
};

struct limit_refund_options {
    rule_options which;
    std::string units;
};

struct config_check_options {
    std::string file;
};

struct config_show_options {
    std::string file;
};

struct doctor_options {
    std::string config_file;
    std::string redis;
    std::string timeout;
};

struct key_new_options {
    std::string user;
};

struct key_hash_options {};

/// Where the admin side of a running instance is, and what it asks for.
struct admin_options {
    std::string address;
    std::string token;
    std::string config_file;
};

struct top_options {
    admin_options where;
    std::string interval;
    std::string keys;
    bool once = false;
};

struct bench_options {
    std::vector<std::string> limits;
    std::string algorithm;
    std::string duration;
    std::string concurrency;
    std::string users;
    std::string redis;
};

struct completion_options {
    std::string shell;
};

struct circuit_options {
    enum class action { list, show, set };
    action what = action::list;
    std::string name;
    /// What it is set to; none: given back to itself.
    std::optional<circuit::state> to;
    std::string lasts;
    std::string who;
    std::string why;
    std::string redis;
    std::string key_prefix;
};

struct lock_run_options {
    std::string name;
    std::vector<std::string> command;
    std::string ttl = "30s";
    /// "forever" waits without end.
    std::string wait = "0s";
    /// From TERM to KILL, where the lock is lost.
    std::string grace = "5s";
    /// With others that say so, too, and with none that does not.
    bool shared = false;
    /// How many may hold it at once; 0: one, and `shared` counts.
    std::uint32_t limit = 0;
    int busy_exit_code = 1;
    std::string who;
    std::string redis;
    std::string key_prefix;
};

struct lock_options {
    enum class action { list, show, break_open };
    action what = action::list;
    std::string name;
    std::string redis;
    std::string key_prefix;
};

using command_options =
    std::variant<serve_options, demo_options, check_options, limit_peek_options, limit_reset_options,
                 limit_refund_options, config_check_options, config_show_options, doctor_options, circuit_options,
                 lock_run_options, lock_options, key_new_options, key_hash_options, top_options, bench_options,
                 completion_options>;

/// A command and how to answer.
struct invocation {
    command_options command;
    bool json = false;
};

} // namespace weir::cli
