#pragma once

#include "cli/failure.hpp"
#include "config/config.hpp"

#include <weir/redis/client.hpp>
#include <weir/redis/url.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <optional>
#include <string>

namespace weir::cli {

/// The Redis that `url` names, or REDIS_URL where it is empty, or redis://127.0.0.1:6379. Throws `failure`
/// ("redis_url").
redis::address redis_address(std::string const& url);
/// The Redis of a configuration file.
redis::address redis_address(config::redis_settings const& settings);

/// What an error of Redis means to an operator, and the remedy. `words` are those of `redis::client::last_error_text`,
/// or the server's; without them the error's own are used.
failure redis_failure(error_code ec, std::string const& words, redis::address const& where);

/// How long a command that asks once waits for Redis where nothing else was said.
inline constexpr std::chrono::seconds one_command_timeout{1};

/// A connection to Redis for a command that asks, answers and ends. Single-threaded.
class redis_session {
public:
    /// Connects, and loads the scripts. Throws `failure` when that fails, at most `timeout` later.
    redis_session(redis::address where, std::chrono::milliseconds timeout,
                  std::vector<redis::script const*> scripts = {});

    redis::client& client() noexcept { return *client_; }
    redis::address const& where() const noexcept { return where_; }
    asio::io_context& context() noexcept { return context_; }

    /// Runs a coroutine to its end; what it throws is thrown.
    template <class T>
    T run(asio::awaitable<T> work) {
        std::exception_ptr thrown;
        std::optional<T> result;
        asio::co_spawn(context_, std::move(work), [&](std::exception_ptr error, T value) {
            thrown = error;
            result = std::move(value);
            context_.stop(); // the client would keep it running
        });
        context_.restart();
        context_.run();
        if (thrown)
            std::rethrow_exception(thrown);
        return std::move(*result);
    }

private:
    redis::address where_;
    asio::io_context context_{1};
    std::optional<redis::client> client_;
};

} // namespace weir::cli
