#include "cli/child_process.hpp"
#include "cli/commands.hpp"
#include "cli/redis_questions.hpp"
#include "config/values.hpp"

#include <weir/lock/manager.hpp>
#include <weir/redis/subscriber.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>
#include <iostream>
#include <optional>
#include <system_error>

namespace weir::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds redis_timeout{5000};

milliseconds duration_of(std::string const& flag, std::string const& text) {
    try {
        return config::parse_duration(text);
    } catch (config::value_error const& e) {
        throw failure("usage", flag + ": " + e.what(), {});
    }
}

lock::lock_options options_of(lock_run_options const& asked) {
    lock::lock_options how;
    how.ttl = duration_of("--ttl", asked.ttl);
    if (how.ttl < milliseconds{100} || how.ttl > std::chrono::hours{24})
        throw failure("usage", "--ttl: " + asked.ttl + " is not between 100ms and 24h", {});
    how.wait = asked.wait == "forever" ? lock::without_end : duration_of("--wait", asked.wait);
    // TERM comes so long before the lease ends, and KILL no later than that.
    how.loss_margin = std::clamp(duration_of("--grace", asked.grace), milliseconds{1}, how.ttl / 3);
    return how;
}

lock::portion portion_of(lock_run_options const& asked) {
    if (asked.limit > 0)
        return {1, asked.limit};
    return asked.shared ? lock::portion{1, lock::max_limit} : lock::portion{lock::max_limit, lock::max_limit};
}

/// A command under a lock, from the attempt until the lock is given back.
class locked_run {
public:
    locked_run(lock_run_options const& asked, redis_session& session)
        : asked_(asked)
        , session_(session)
        , news_(session.context(), news_options(session), session.client().address_source())
        , locks_(session.client(), news_, manager_options(asked))
        , signals_(session.context(), SIGINT, SIGTERM)
        , children_(session.context(), SIGCHLD)
        , kill_(session.context()) {
        for (int const number : {SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
            signals_.add(number);
    }

    int run(lock::lock_options const& how) {
        pass_signals();
        locks_.async_lock(asked_.name, portion_of(asked_), how,
                          asio::bind_cancellation_slot(stop_.slot(), [&](error_code ec, lock::lease lease) {
                              lease_ = std::move(lease);
                              obtained(ec);
                          }));
        session_.context().restart();
        session_.context().run();
        // An attempt that was given up still has its place there to leave.
        auto const patience = boot_clock::now() + std::chrono::seconds{1};
        session_.context().restart();
        while (locks_.stats().live > 0 && boot_clock::now() < patience)
            session_.context().run_one_for(milliseconds{50});
        if (thrown_)
            std::rethrow_exception(thrown_);
        return code_;
    }

private:
    static redis::client_options news_options(redis_session& session) {
        auto options = session.client().options();
        options.client_name = "weir-cli-news";
        return options;
    }

    static lock::manager_options manager_options(lock_run_options const& asked) {
        lock::manager_options options;
        options.key_prefix = asked.key_prefix;
        options.who = asked.who.empty() ? default_who() : asked.who;
        return options;
    }

    void pass_signals() {
        signals_.async_wait([this](error_code ec, int number) {
            if (ec)
                return;
            if (command_) {
                command_->signal(number);
            } else {
                interrupted_ = number;
                stop_.emit(asio::cancellation_type::terminal);
            }
            pass_signals();
        });
    }

    void obtained(error_code ec) {
        if (interrupted_ != 0)
            return end(128 + interrupted_);
        if (ec == errc::lock_busy) {
            std::cerr << "weir: lock " << asked_.name << " is busy: see weir lock show " << asked_.name << '\n';
            return end(asked_.busy_exit_code);
        }
        if (ec) {
            thrown_ = std::make_exception_ptr(redis_failure(ec, session_.client().last_error_text(), session_.where()));
            return end(exit_error);
        }
        watch();
        try {
            command_.emplace(asked_.command,
                             std::map<std::string, std::string>{{"WEIR_FENCE", std::to_string(lease_.fence())},
                                                                {"WEIR_LOCK", asked_.name}});
        } catch (std::system_error const& e) {
            std::cerr << "weir: " << e.what() << ": is it spelled right, and in PATH?\n";
            code_ = exit_code_of_errno(e.code().value());
            return give_back();
        }
        lease_.on_lost([this] { lost(); });
        look(); // it may be over already
    }

    void watch() {
        children_.async_wait([this](error_code ec, int) {
            if (!ec)
                look();
        });
    }

    void look() {
        if (!command_ || over_)
            return;
        if (!command_->over())
            return watch();
        over_ = true;
        code_ = command_->exit_code();
        kill_.cancel();
        give_back();
    }

    /// Ends the command: at the end of the grace, but no later than the lease.
    void lost() {
        if (over_)
            return;
        std::cerr << "weir: lock " << asked_.name << " is lost: ending the command\n";
        command_->signal(SIGTERM);
        command_->signal(SIGCONT); // what is stopped could not hear
        auto const grace = duration_of("--grace", asked_.grace);
        auto const left = lease_.ends() - boot_clock::now();
        kill_.expires_after(lease_.valid() ? std::min<std::chrono::nanoseconds>(grace, left) : grace);
        kill_.async_wait([this](error_code ec) {
            if (!ec)
                command_->signal(SIGKILL);
        });
    }

    void give_back() {
        lease_.async_release([this](error_code ec) {
            if (ec && ec != errc::lock_lost)
                std::cerr << "weir: lock " << asked_.name << " could not be given back (" << ec.message()
                          << "): it ends by itself within " << asked_.ttl << '\n';
            end(code_);
        });
    }

    void end(int code) {
        code_ = code;
        session_.context().stop();
    }

    lock_run_options const& asked_;
    redis_session& session_;
    redis::subscriber news_;
    lock::manager locks_;
    lock::lease lease_;
    asio::signal_set signals_, children_;
    asio::steady_timer kill_;
    asio::cancellation_signal stop_;
    std::optional<child_process> command_;
    std::exception_ptr thrown_;
    int interrupted_ = 0;
    int code_ = exit_error;
    bool over_ = false;
};

} // namespace

int run_command(lock_run_options const& options, bool) {
    auto const how = options_of(options);
    if (options.name.empty())
        throw failure("usage", "a lock must have a name", {});
    redis_session session(redis_address(options.redis), redis_timeout, lock::scripts());
    return locked_run(options, session).run(how);
}

} // namespace weir::cli
