#include "admin/start.hpp"
#include "cli/commands.hpp"
#include "cli/file_watch.hpp"
#include "cli/log.hpp"
#include "cli/redis_session.hpp"
#include "cli/reload.hpp"
#include "cli/serve_config.hpp"
#include "cli/version.hpp"
#include "config/values.hpp"
#include "proxy/server.hpp"

#include <weir/redis/embedded_server.hpp>

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <sys/resource.h>

#include <iostream>
#include <thread>

namespace weir::cli {
namespace {

constexpr std::chrono::milliseconds start_timeout{2000};

/// Prints all that is wrong with a configuration; false: nothing that keeps it from serving.
bool report_errors(config::loaded const& loaded, std::string const& file, bool json, log& to) {
    for (auto const& found : loaded.issues) {
        auto line = to_string(found, file.empty() ? "weir serve" : file);
        if (found.level == config::issue::severity::warning)
            to.write(log::level::warning, line);
        else if (json)
            to.write(log::level::error, line,
                     {{"pointer", found.pointer}, {"line", found.line}, {"column", found.column}});
        else
            std::cerr << line << '\n';
    }
    return !loaded.value;
}

/// As many open files as the system allows: each connection is one, and what a shell gives is few.
void raise_open_files() noexcept {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files); // where it is not allowed, there are fewer
}

/// Where the limits are kept: a Redis that was named and answers, or one of our own.
class limit_store {
public:
    limit_store(config::config const& settings, log& to) {
        auto const* environment = std::getenv("REDIS_URL");
        if (settings.redis.url.empty() && settings.redis.mode == redis::topology::standalone &&
            settings.redis.nodes.empty() && (!environment || !*environment))
            start_own(to);
        else
            ask(settings, to);
    }

    redis::address const& where() const noexcept { return where_; }

private:
    void start_own(log& to) {
        try {
            own_.emplace(redis::embedded_server::start());
        } catch (std::exception const& e) {
            throw failure(
                "embedded_redis",
                std::string("no Redis was named, and ") + e.what() + ", or name a Redis with --redis or REDIS_URL", {});
        }
        error_code ec;
        where_ = redis::parse_url(own_->url(), ec);
        to.write(log::level::info,
                 "no Redis was named: started a private redis-server; what it counts is shared with nobody and ends "
                 "with this process",
                 {{"event", "embedded_redis"}, {"redis", where_.display()}, {"pid", own_->pid()}});
    }

    /// A mistake in address or password must show before the first request does.
    void ask(config::config const& settings, log& to) {
        where_ = redis_address(settings.redis);
        try {
            redis_session session(where_, start_timeout, proxy::worker_scripts());
            to.write(log::level::info, "limits are kept in " + where_.display(),
                     {{"event", "redis"}, {"redis", where_.display()}});
        } catch (failure const& refused) {
            auto unreachable = refused.code() == "not_connected" || refused.code() == "loading" ||
                               refused.code() == "connection_lost" || refused.code() == "timed_out";
            if (!unreachable)
                throw;
            if (!settings.redis.allow_down_at_start)
                throw failure(refused.code(), refused.what(),
                              refused.remedy() + ", or start without it with --allow-redis-down");
            to.write(log::level::warning,
                     std::string(refused.what()) + ": starting without it, each limit decides by on_redis_failure",
                     {{"event", "redis_down"}});
        }
    }

    std::optional<redis::embedded_server> own_;
    redis::address where_;
};

log::level level_of(proxy::log_level value) {
    switch (value) {
    case proxy::log_level::info:
        return log::level::info;
    case proxy::log_level::warning:
        return log::level::warning;
    case proxy::log_level::error:
        break;
    }
    return log::level::error;
}

/// What signals do to a server: SIGINT and SIGTERM drain, a second one breaks off; SIGHUP has the configuration read
/// again.
class signal_watch {
public:
    signal_watch(proxy::server& server, reloader& configuration, asio::signal_set& signals, log& to)
        : server_(server)
        , configuration_(configuration)
        , signals_(signals)
        , log_(to) {
        wait();
    }

private:
    void wait() {
        signals_.async_wait([this](error_code ec, int number) {
            if (ec)
                return;
            act(number);
            wait();
        });
    }

    void act(int number) {
        if (number == SIGHUP) {
            configuration_.reload("SIGHUP");
        } else if (!server_.draining()) {
            auto const drain = server_.config()->drain;
            log_.write(log::level::info,
                       "draining: running requests have " + config::format_duration(drain) + " to finish",
                       {{"event", "drain"}});
            server_.begin_drain(drain);
        } else {
            log_.write(log::level::warning, "second signal: breaking off", {{"event", "stop"}});
            server_.stop();
        }
    }

    proxy::server& server_;
    reloader& configuration_;
    asio::signal_set& signals_;
    log& log_;
};

/// Watches the file of the configuration, if there is one: from before it is read, so that no change is missed.
std::unique_ptr<file_watch> watch_file(asio::io_context& io, std::string const& file, error_code& ec) {
    return file.empty() ? nullptr : std::make_unique<file_watch>(io, file, ec);
}

/// Has the configuration read again when its file changes, for as long as the configuration in effect says so.
void follow_file(file_watch& watch, error_code const& failed, proxy::server& server, reloader& configuration, log& to) {
    if (failed && server.config()->reload_on_change)
        to.write(log::level::warning,
                 "changes of the configuration's file will not be noticed: " + failed.message() +
                     ": send SIGHUP after them",
                 {{"event", "watch_failed"}});
    watch.run([&] {
        if (server.config()->reload_on_change && !server.draining())
            configuration.reload("file change");
    });
}

/// Serves until the server has ended.
void serve_until_signalled(proxy::server& server, reloader& configuration, asio::io_context& io,
                           asio::signal_set& signals, log& to) {
    signal_watch watch(server, configuration, signals, to);
    std::thread waiter([&] {
        server.wait();
        io.stop();
    });
    io.run();
    waiter.join();
}

/// What to do about an address that is in use; `flag` is where it was written unless `in_file`.
std::string another_address(bool in_file, std::string const& file, char const* flag, std::string const& pointer) {
    return "stop the program that listens there, or choose another address with " +
           (in_file ? pointer + " in " + file : std::string(flag));
}

} // namespace

int run_command(serve_options const& options, bool json) {
    log to(parse_log_level(options.log_level), json ? log::format::json : parse_log_format(options.log_format));
    asio::io_context io(1);
    error_code unwatched;
    auto const watch = watch_file(io, options.config_file, unwatched);
    auto loaded = serve_config(options);
    if (report_errors(loaded, options.config_file, json, to))
        return exit_no;
    auto const& settings = *loaded.value;

    raise_open_files();
    asio::signal_set signals(io, SIGINT, SIGTERM, SIGHUP); // from here on, so that no signal is lost while starting
    proxy::server_options how;
    how.log = [&](proxy::log_level level, std::string_view message) { to.write(level_of(level), message); };
    std::optional<limit_store> store;
    if (settings.limits.empty())
        to.write(log::level::warning, "no limit is configured: every request passes");
    if (settings.needs_redis())
        how.redis.server = store.emplace(settings, to).where();

    proxy::server server(loaded.value, how);
    auto const state = std::make_shared<admin::config_state>(settings);
    reloader configuration(options, server, *state, to);
    std::unique_ptr<admin::server> admin;
    try {
        server.start();
        admin = admin::start(settings, server, state,
                             [&](std::string_view asked_by) { return configuration.reload(asked_by); });
    } catch (proxy::address_in_use const& e) {
        if (!e.index())
            throw failure(
                "listen", e.what(),
                another_address(options.decision.empty(), options.config_file, "--decision", "/decision/address"));
        throw failure("listen", e.what(),
                      another_address(options.listen.empty(), options.config_file, "--listen",
                                      "/listen/" + std::to_string(*e.index()) + "/address"));
    } catch (admin::address_in_use const& e) {
        bool const in_file = options.admin.empty() && !options.config_file.empty();
        throw failure("listen", e.what(), another_address(in_file, options.config_file, "--admin", "/admin/address"));
    } catch (proxy::start_error const& e) {
        throw failure("listen", e.what(), {});
    } catch (admin::start_error const& e) {
        throw failure("listen", e.what(), {});
    } catch (std::runtime_error const& e) { // the access log
        throw failure("start", e.what(), {});
    }
    for (auto const& at : server.endpoints()) {
        auto address = config::format_endpoint({at.address().to_string(), at.port()});
        to.write(log::level::info, "listening on " + address, {{"event", "listening"}, {"address", address}});
    }
    if (auto const& at = server.decision_endpoint()) {
        auto address = config::format_endpoint({at->address().to_string(), at->port()});
        to.write(log::level::info, "deciding at http://" + address,
                 {{"event", "decision_listening"}, {"address", address}});
    }
    auto const side = admin->endpoint();
    auto const side_text = config::format_endpoint({side.address().to_string(), side.port()});
    to.write(log::level::info, "metrics and health at http://" + side_text,
             {{"event", "admin_listening"}, {"address", side_text}});
    if (watch)
        follow_file(*watch, unwatched, server, configuration, to);
    serve_until_signalled(server, configuration, io, signals, to);
    to.write(log::level::info, "ended", {{"event", "ended"}});
    return exit_yes;
}

} // namespace weir::cli
