#include "cli/redis_questions.hpp"

#include "admin/key_walk.hpp"
#include "config/values.hpp"

#include <weir/redis/hash_slot.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <unistd.h>

namespace weir::cli {
namespace {

asio::awaitable<error_code> execute(redis::client& client, redis::command const& what, redis::reply_sink& into) {
    error_code ec;
    co_await client.async_exec(what, into, {}, asio::redirect_error(asio::use_awaitable, ec));
    co_return ec;
}

} // namespace

void ask(redis_session& session, redis::command const& what, redis::reply_sink& into) {
    if (auto const ec = session.run(execute(session.client(), what, into)))
        throw redis_failure(ec, session.client().last_error_text(), session.where());
}

key_layout layout_of(redis_session const& session) {
    return session.where().topology == redis::topology::cluster ? key_layout::cluster : key_layout::standalone;
}

std::int64_t server_time(redis_session& session, std::string_view key) {
    redis::flat_reply reply;
    redis::command time("TIME");
    ask(session, time.at_slot(redis::hash_slot(key)), reply);
    if (reply.nodes().size() != 3)
        throw failure("unexpected_reply", "TIME has an answer of another shape", "is it a Redis at all?");
    auto const part = [&](std::size_t i) {
        return std::strtoll(std::string(reply.text(reply.nodes()[i])).c_str(), nullptr, 10);
    };
    return part(1) * 1'000'000 + part(2);
}

std::vector<std::string> find_keys(redis_session& session, std::string const& begin, std::string const& type) {
    std::vector<std::string> keys, piece;
    for (admin::key_walk walk(session.client(), begin, type); !walk.ended();) {
        if (auto const ec = session.run(walk.next(piece)))
            throw redis_failure(ec, session.client().last_error_text(), session.where());
        keys.insert(keys.end(), std::make_move_iterator(piece.begin()), std::make_move_iterator(piece.end()));
    }
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    return keys;
}

std::string seconds_text(std::int64_t microseconds) {
    return config::format_duration(
        std::chrono::milliseconds{std::max<std::int64_t>(microseconds, 0) / 1'000'000 * 1000});
}

std::string default_who() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    auto const* const user = std::getenv("USER");
    return std::string(user ? user : "uid " + std::to_string(::getuid())) + "@" + host.data();
}

} // namespace weir::cli
