#pragma once

#include "support/redis_fixture.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <weir/rate_limit/limiter.hpp>

#include <optional>
#include <utility>

namespace weir::test {

inline redis::client_options limiter_client_options(std::string const& url) {
    auto options = patient_options(url);
    options.scripts = rate_limit_scripts();
    return options;
}

/// An instance: a client and a limiter on it, with which coroutines run until they end.
class limiter_test : public redis_test {
protected:
    void with_limiter(limiter_options how, std::function<asio::awaitable<void>(limiter&)> const& body) {
        redis::client client(io, limiter_client_options(server.url()));
        limiter subject(client, std::move(how));
        run(io, [&]() -> asio::awaitable<void> { return body(subject); });
    }
    void with_limiter(std::function<asio::awaitable<void>(limiter&)> const& body) { with_limiter({}, body); }

    /// Waits until `one.ended` says how a check has ended, which its handler sets.
    asio::awaitable<void> ended(auto const& one) {
        while (!one.ended)
            co_await asio::post(io, asio::use_awaitable);
    }
};

/// A loop, a client and a limiter of their own, for `tasks` coroutines of `task` at once; returns when all have ended.
template <class Task>
permit_stock::figures run_tasks(redis::client_options through, limiter_options how, int tasks, Task const& task) {
    asio::io_context io(1);
    redis::client client(io, std::move(through));
    auto subject = std::make_optional<limiter>(client, std::move(how));
    permit_stock::figures charged_ahead;
    auto const worker = [&]() -> asio::awaitable<void> {
        co_await task(*subject);
        if (--tasks == 0) {
            charged_ahead = subject->charged_ahead();
            subject.reset();
            client.close();
        }
    };
    for (int i = 0, n = tasks; i < n; ++i)
        asio::co_spawn(io, worker, asio::detached);
    io.run();
    return charged_ahead;
}
template <class Task>
permit_stock::figures run_tasks(std::string const& url, limiter_options how, int tasks, Task const& task) {
    return run_tasks(limiter_client_options(url), std::move(how), tasks, task);
}

} // namespace weir::test
