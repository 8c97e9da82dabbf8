#pragma once

#include <weir/error.hpp>
#include <weir/redis/client.hpp>
#include <weir/redis/script.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::lock {

/// For `client_options::scripts`. They live as long as the program.
WEIR_DECL std::vector<redis::script const*> idempotency_scripts();

/// What is known of a request that must be executed once.
struct idempotency_record {
    enum class state : std::uint8_t {
        /// Another executes it; of HTTP 409.
        in_flight,
        /// It is the caller's to execute, who then calls `async_finish` or `async_abandon` with `token`.
        begun,
        /// The key stands for a request with another print; of HTTP 422.
        another_request,
        /// It was executed, and `answer` is what came of it.
        answered,
    };
    state now = state::in_flight;
    std::string token{};
    std::string answer{};
    /// Of one in flight: until it is free again, if its executor is silent.
    std::chrono::milliseconds at_most{0};
};

/// Requests that must be executed once however often they are sent, by a key that the client chose (the
/// `Idempotency-Key` of HTTP, draft-ietf-httpapi-idempotency-key-header-07): the first answer is kept and given to all
/// that follow.
///
/// Thread safety: distinct objects: safe; shared objects: unsafe, and only on the thread of the client, which must
/// outlive it.
class idempotency {
public:
    explicit idempotency(redis::client& client, std::string key_prefix = {})
        : client_(&client)
        , prefix_(std::move(key_prefix)) {}

    /// Opens the record of `key`, for whoever is first, for `silence`: 1 ms or longer, and longer than the request
    /// takes, or else told again by `async_renew`. `print`: what makes it this request and no other, a digest of its
    /// parameters. Completes `void(error_code, idempotency_record)`; the errors are the client's, and where the outcome
    /// is unknown the record may be open until its silence is over. Not to be cancelled.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, idempotency_record)) Token>
    auto async_begin(std::string_view key, std::string_view print, std::chrono::milliseconds silence, Token&& token) {
        return begin_as(std::string(), key, print, silence, std::forward<Token>(token));
    }
    /// The same again by whoever began it, who is still at it: `begun`, or what became of it otherwise.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, idempotency_record)) Token>
    auto async_renew(idempotency_record const& of, std::string_view key, std::string_view print,
                     std::chrono::milliseconds silence, Token&& token) {
        return begin_as(of.token, key, print, silence, std::forward<Token>(token));
    }

    /// Keeps the answer for `keep`, 1 ms or longer. Completes `void(error_code)`; `errc::lock_lost`: who began it was
    /// silent for too long, and another took over. Not to be cancelled.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_finish(idempotency_record const& of, std::string_view key, std::string_view answer,
                      std::chrono::milliseconds keep, Token&& token) {
        return finish_as(of.token, key, answer, std::max(keep, std::chrono::milliseconds{1}),
                         std::forward<Token>(token));
    }
    /// It was not executed: the next may. As `async_finish`.
    template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
    auto async_abandon(idempotency_record const& of, std::string_view key, Token&& token) {
        return finish_as(of.token, key, {}, std::chrono::milliseconds{0}, std::forward<Token>(token));
    }

private:
    using begin_handler = std::function<void(error_code, idempotency_record)>;
    using finish_handler = std::function<void(error_code)>;

    template <class Token>
    auto begin_as(std::string who, std::string_view key, std::string_view print, std::chrono::milliseconds silence,
                  Token&& token) {
        return asio::async_initiate<Token, void(error_code, idempotency_record)>(
            [this](auto&& handler, std::string const& as, std::string const& of, std::string const& what,
                   std::chrono::milliseconds lasts) {
                auto const executor = asio::get_associated_executor(handler, client_->get_executor());
                auto const kept =
                    std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
                begin(as, of, what, lasts, [kept, executor](error_code ec, idempotency_record found) {
                    asio::post(executor, [kept, ec, found = std::move(found)]() mutable {
                        std::move (*kept)(ec, std::move(found));
                    });
                });
            },
            token, std::move(who), std::string(key), std::string(print), silence);
    }
    template <class Token>
    auto finish_as(std::string who, std::string_view key, std::string_view answer, std::chrono::milliseconds keep,
                   Token&& token) {
        return asio::async_initiate<Token, void(error_code)>(
            [this](auto&& handler, std::string const& as, std::string const& of, std::string const& what,
                   std::chrono::milliseconds lasts) {
                auto const executor = asio::get_associated_executor(handler, client_->get_executor());
                auto const kept =
                    std::make_shared<std::decay_t<decltype(handler)>>(std::forward<decltype(handler)>(handler));
                finish(as, of, what, lasts, [kept, executor](error_code ec) {
                    asio::post(executor, [kept, ec] { std::move (*kept)(ec); });
                });
            },
            token, std::move(who), std::string(key), std::string(answer), keep);
    }

    WEIR_DECL std::string key_of(std::string_view key) const;
    WEIR_DECL void begin(std::string const& who, std::string_view key, std::string_view print,
                         std::chrono::milliseconds silence, begin_handler done);
    WEIR_DECL void finish(std::string const& who, std::string_view key, std::string_view answer,
                          std::chrono::milliseconds keep, finish_handler done);

    redis::client* client_;
    std::string prefix_;
};

} // namespace weir::lock

#if defined(WEIR_HEADER_ONLY)
#include <weir/lock/impl/idempotency.ipp>
#endif
