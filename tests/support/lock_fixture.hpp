#pragma once

#include "support/redis_fixture.hpp"

#include <weir/lock/manager.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <optional>

namespace weir::test {

inline redis::client_options lock_client_options(std::string const& url) {
    auto options = patient_options(url);
    options.scripts = lock::scripts();
    options.reconnect_max = std::chrono::milliseconds{50};
    return options;
}

/// An instance: a client, a subscriber, and its locks.
struct lock_instance {
    lock_instance(asio::io_context& io, std::string const& url, lock::manager_options how = {},
                  std::string const& news_url = {})
        : lock_instance(io, lock_client_options(url), lock_client_options(news_url.empty() ? url : news_url),
                        std::move(how)) {}
    lock_instance(asio::io_context& io, redis::client_options options, redis::client_options news_options,
                  lock::manager_options how = {})
        : client(io, std::move(options))
        , news(io, std::move(news_options))
        , locks(client, news, std::move(how)) {}
    void close() {
        locks.close();
        news.close();
        client.close();
    }

    redis::client client;
    redis::subscriber news;
    lock::manager locks;
};

/// An attempt under way, and what came of it.
struct lock_try {
    asio::cancellation_signal stop;
    std::optional<error_code> ec;
    lock::lease lease;
    boot_clock::time_point ended{};

    bool done() const noexcept { return ec.has_value(); }
    bool got() const noexcept { return ec && !*ec; }
};

class lock_test : public redis_test {
protected:
    void start(lock_try& into, lock::manager& locks, std::string_view name, lock::lock_options const& how,
               lock::portion what = {}) {
        into.ec.reset();
        locks.async_lock(name, what, how,
                         asio::bind_cancellation_slot(into.stop.slot(), [&](error_code ec, lock::lease got) {
                             into.ec = ec;
                             into.lease = std::move(got);
                             into.ended = boot_clock::now();
                         }));
    }
    error_code take(lock_try& into, lock::manager& locks, std::string_view name, lock::lock_options const& how,
                    lock::portion what = {}) {
        start(into, locks, name, how, what);
        until([&] { return into.done(); }, "an answer");
        return into.ec.value_or(errc::timed_out);
    }
    error_code give(lock_try& of) {
        std::optional<error_code> result;
        of.lease.async_release([&](error_code ec) { result = ec; });
        until([&] { return result.has_value(); }, "released");
        return result.value_or(errc::timed_out);
    }
    error_code extend(lock_try& of) {
        std::optional<error_code> result;
        of.lease.async_extend([&](error_code ec) { result = ec; });
        until([&] { return result.has_value(); }, "extended");
        return result.value_or(errc::timed_out);
    }
    /// Whether all is cleaned up there.
    void settle(lock::manager& locks) {
        until([&] { return locks.stats().live == 0; }, "nothing under way");
    }
    /// The keys there are, but for the record of fences.
    std::string keys() {
        server.run({"DEL", "lock:#fence"});
        return server.run({"KEYS", "*"});
    }
};

} // namespace weir::test
