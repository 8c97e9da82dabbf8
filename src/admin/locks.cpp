#include "admin/locks.hpp"

#include "admin/io.hpp"
#include "admin/key_walk.hpp"
#include "admin/lock_record.hpp"
#include "admin/manual_order.hpp"
#include "admin/redis_desk.hpp"
#include "config/values.hpp"

#include <weir/key.hpp>
#include <weir/redis/hash_slot.hpp>

#include <boost/url/pct_string_view.hpp>

#include <map>
#include <optional>

namespace weir::admin {
namespace {

constexpr std::string_view lock_paths =
    "known here: /v1/locks, /v1/locks/NAME and, with POST, /v1/locks/NAME/break; a name may have slashes";

constexpr std::size_t most_locks = 1000;
/// Who waits for one lock, at most so many of them are told of.
constexpr std::string_view last_waiter = "99";
/// One look goes through so many keys of Redis at most, in pieces; a further one goes on where it ended.
constexpr int most_pieces = 20;

constexpr std::string_view example_of_break = R"({"reason": "its holder hangs", "who": "alice"})";

/// A part of a key, as append_key_part() spells it, in the letters that it stands for.
std::string spelled_out(std::string_view part) {
    auto const encoded = boost::urls::make_pct_string_view({part.data(), part.size()});
    return encoded ? encoded->decode() : std::string(part);
}

struct lock_view {
    lock_record record;
    std::size_t waiting = 0;
    /// By the server that keeps the lock, in microseconds.
    std::int64_t now = 0;
};

class lock_desk : private redis_desk {
public:
    lock_desk(proxy::server const& of, redis::client& client)
        : redis_desk(of, client) {}

    // By value what a coroutine needs after its first suspension: it is begun in another's expression.
    asio::awaitable<api_answer> answer(api_request asked) const {
        bool const acts = asked.method == "POST";
        if (asked.path.size() == 1 && acts)
            co_return refused(405, "only GET is answered here; " + std::string(lock_paths));
        if (asked.path.size() == 1)
            co_return co_await list(asked);
        bool const breaks = asked.path.size() > 2 && asked.path.back() == "break";
        if (acts && !breaks)
            co_return refused(404, std::string(lock_paths));
        std::string name;
        for (std::size_t i = 1; i < asked.path.size() - (acts ? 1 : 0); ++i)
            name += (i > 1 ? "/" : "") + asked.path[i];
        if (name.empty())
            co_return refused(404, std::string(lock_paths));
        if (acts)
            co_return co_await break_open(std::move(name),
                                          read_manual_order(asked.body, example_of_break, end_of_order::none));
        co_return co_await show(std::move(name));
    }

private:
    /// The lock whose holders are kept in `key`, who waits for it in `queue`. `now` becomes the time of their server.
    asio::awaitable<error_code> read(std::string key, std::string queue, lock_view& into) const {
        if (auto const ec = co_await read_time(redis::hash_slot(key), into.now))
            co_return ec;
        redis::flat_reply holders, waiters, count;
        if (auto const ec = co_await ask(
                redis::command().start(5).arg("ZRANGE").key(key).arg("0").arg("99").arg("WITHSCORES"), holders))
            co_return ec;
        if (auto const ec = co_await ask(
                redis::command().start(5).arg("ZRANGE").key(queue).arg("0").arg(last_waiter).arg("WITHSCORES"),
                waiters))
            co_return ec;
        if (auto const ec = co_await ask(redis::command().start(2).arg("ZCARD").key(queue), count))
            co_return ec;
        into.record = {read_lock_holders(holders, into.now), read_lock_waiters(waiters)};
        into.waiting = count.nodes().empty() ? 0 : static_cast<std::size_t>(count.nodes().front().value);
        co_return error_code{};
    }

    /// What matters most first, so that a table of these columns can be read.
    static json describe(std::string const& name, lock_view const& of) {
        auto all = lock_json(name, of.record, of.now);
        json one{{"name", name}};
        if (!of.record.holders.empty()) {
            auto const& first = all["holders"].front();
            one["holder"] = first["who"];
            one["fence"] = first["fence"];
            one["expires_in_ms"] = first["expires_in_ms"];
        }
        one["waiting"] = of.waiting;
        one["holders"] = std::move(all["holders"]);
        one["waiters"] = std::move(all["waiters"]);
        return one;
    }

    asio::awaitable<api_answer> list(api_request asked) const {
        auto const most = number_parameter(asked, "limit", 50, most_locks);
        if (!most)
            co_return refused(400, "limit is a whole number");
        lock_keys const keys(prefix(), layout_);
        key_walk walk(client_, keys.begin(), "zset");
        if (auto const cursor = asked.parameter("cursor"); cursor && !walk.resume(*cursor))
            co_return refused(400, "cursor is what the answer before said, or 0");
        std::map<std::string, std::optional<json>, std::less<>> found;
        std::size_t told = 0;
        std::vector<std::string> piece;
        for (int pieces = 0; !walk.ended() && pieces < most_pieces && told < *most; ++pieces) {
            if (auto const ec = co_await walk.next(piece))
                co_return silent(ec);
            for (auto const& key : piece) {
                auto const name = keys.name_in(key);
                if (name.empty() || found.contains(name))
                    continue;
                lock_view view;
                if (auto const ec = co_await read(keys.holders_of(name), keys.waiters_of(name), view))
                    co_return silent(ec);
                auto& one = found[std::string(name)];
                if (view.record.holders.empty() && view.waiting == 0)
                    continue;
                one = describe(spelled_out(name), view);
                ++told;
            }
        }
        auto all = json::array();
        for (auto& [name, one] : found)
            if (one)
                all.push_back(std::move(*one));
        api_answer answer{200, {{"locks", std::move(all)}}, {}};
        if (!walk.ended())
            answer.body["cursor"] = walk.cursor();
        co_return answer;
    }

    asio::awaitable<api_answer> show(std::string name) const {
        lock_view found;
        lock::script_calls const calls(prefix(), name, layout_);
        if (auto const ec = co_await read(calls.key(), calls.queue_key(), found))
            co_return silent(ec);
        co_return api_answer{200, describe(name, found), {}};
    }

    asio::awaitable<api_answer> break_open(std::string name, manual_order said) const {
        if (!said.problem.empty())
            co_return refused(400, said.problem);
        redis::command command;
        redis::int_sink<1> reply(1);
        lock::script_calls(prefix(), name, layout_).break_open(command, 1, *lock::production_scripts().break_open);
        auto const [ec] = co_await client_.async_exec(command, reply, {}, use_result);
        if (ec)
            co_return refused(503, "Redis does not do it: " + ec.message());
        server_.log(proxy::log_level::warning, "lock " + name + " was taken from " + std::to_string(reply[0]) +
                                                   " holders by " + said.who +
                                                   (said.why.empty() ? std::string() : ": " + said.why));
        co_return api_answer{200, {{"name", name}, {"broken", reply[0]}}, {}};
    }
};

} // namespace

api_resource locks_resource(proxy::server const& of, redis::client& client) {
    auto const desk = std::make_shared<lock_desk const>(of, client);
    return {"locks", {"GET", "POST"}, [desk](api_request const& asked) { return desk->answer(asked); }};
}

} // namespace weir::admin
