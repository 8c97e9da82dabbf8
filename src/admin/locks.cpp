#include "admin/locks.hpp"

#include "admin/lock_record.hpp"
#include "admin/manual_order.hpp"
#include "admin/redis_desk.hpp"
#include "config/values.hpp"

#include <weir/key.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/url/pct_string_view.hpp>

#include <algorithm>
#include <set>

namespace weir::admin {
namespace {

constexpr auto result = asio::as_tuple(asio::use_awaitable);

constexpr std::string_view known_here =
    "known here: /v1/locks, /v1/locks/NAME and, with POST, /v1/locks/NAME/break; a name may have slashes";

constexpr std::size_t most_locks = 1000;
/// Who waits for one lock, at most so many of them are told of.
constexpr std::string_view last_waiter = "99";
/// One look goes through so many keys of Redis at most, in pieces; a further one goes on where it ended.
constexpr int most_pieces = 20;
constexpr std::string_view piece = "1000";

constexpr std::string_view example = R"({"reason": "its holder hangs", "who": "alice"})";

/// A part of a key, as append_key_part() spells it, in the letters that it stands for.
std::string spelled_out(std::string_view part) {
    auto const encoded = boost::urls::make_pct_string_view({part.data(), part.size()});
    return encoded ? encoded->decode() : std::string(part);
}

class lock_desk : private redis_desk {
public:
    lock_desk(proxy::server const& of, redis::client& client)
        : redis_desk(of, client) {}

    // By value what a coroutine needs after its first suspension: it is begun in another's expression.
    asio::awaitable<api_answer> answer(api_request asked) const {
        bool const acts = asked.method == "POST";
        if (asked.path.size() == 1 && acts)
            co_return refused(405, "only GET is answered here; " + std::string(known_here));
        if (asked.path.size() == 1)
            co_return co_await list(asked);
        bool const breaks = asked.path.size() > 2 && asked.path.back() == "break";
        if (acts && !breaks)
            co_return refused(404, std::string(known_here));
        std::string name;
        for (std::size_t i = 1; i < asked.path.size() - (acts ? 1 : 0); ++i)
            name += (i > 1 ? "/" : "") + asked.path[i];
        if (name.empty())
            co_return refused(404, std::string(known_here));
        if (acts)
            co_return co_await break_open(std::move(name), read_manual_order(asked.body, example, end_of_order::none));
        co_return co_await show(std::move(name));
    }

private:
    /// The lock whose keys begin with `key`, and how many wait for it.
    asio::awaitable<error_code> read(std::string key, std::int64_t now, lock_record& into, std::size_t& waiting) const {
        redis::flat_reply holders, waiters, count;
        if (auto const ec = co_await ask(
                redis::command().start(5).arg("ZRANGE").key(key).arg("0").arg("99").arg("WITHSCORES"), holders))
            co_return ec;
        auto const queue = key + "#queue";
        if (auto const ec = co_await ask(
                redis::command().start(5).arg("ZRANGE").key(queue).arg("0").arg(last_waiter).arg("WITHSCORES"),
                waiters))
            co_return ec;
        if (auto const ec = co_await ask(redis::command().start(2).arg("ZCARD").key(queue), count))
            co_return ec;
        into.holders = read_lock_holders(holders, now);
        into.waiters = read_lock_waiters(waiters);
        waiting = count.nodes().empty() ? 0 : static_cast<std::size_t>(count.nodes().front().value);
        co_return error_code{};
    }

    /// What matters most first, so that a table of these columns can be read.
    static json describe(std::string const& name, lock_record const& of, std::size_t waiting, std::int64_t now) {
        auto all = lock_json(name, of, now);
        json one{{"name", name}};
        if (!of.holders.empty()) {
            auto const& first = all["holders"].front();
            one["holder"] = first["who"];
            one["fence"] = first["fence"];
            one["expires_in_ms"] = first["expires_in_ms"];
        }
        one["waiting"] = waiting;
        one["holders"] = std::move(all["holders"]);
        one["waiters"] = std::move(all["waiters"]);
        return one;
    }

    asio::awaitable<api_answer> list(api_request asked) const {
        if (layout_ == key_layout::cluster)
            co_return refused(501, "the locks of a cluster cannot be listed; /v1/locks/NAME tells of one");
        auto const most = number_parameter(asked, "limit", 50, most_locks);
        std::string cursor(asked.parameter("cursor").value_or("0"));
        if (!most || cursor.empty() || cursor.find_first_not_of("0123456789") != cursor.npos)
            co_return refused(400, "limit and cursor are whole numbers");
        std::set<std::string> names;
        std::string begin;
        append_lock_key(begin, prefix(), key_part());
        int pieces = 0;
        do {
            redis::flat_reply reply;
            redis::command const scan("SCAN", cursor, "MATCH", begin + "*", "COUNT", piece, "TYPE", "zset");
            if (auto const ec = co_await ask(scan, reply))
                co_return silent(ec);
            auto const& nodes = reply.nodes();
            if (nodes.size() < 3)
                co_return refused(503, "SCAN has an answer of another shape");
            cursor = reply.text(nodes[1]);
            for (std::size_t i = 3; i < nodes.size(); ++i) {
                auto const key = reply.text(nodes[i]).substr(begin.size());
                if (!key.empty() && !key.ends_with("#gone"))
                    names.emplace(key.substr(0, key.find('#'))); // where none holds it, some may wait
            }
        } while (cursor != "0" && ++pieces < most_pieces && names.size() < *most);
        std::int64_t now = 0;
        if (auto const ec = co_await read_time(now))
            co_return silent(ec);
        auto all = json::array();
        for (auto const& name : names) {
            lock_record found;
            std::size_t waiting = 0;
            if (auto const ec = co_await read(begin + name, now, found, waiting))
                co_return silent(ec);
            if (!found.holders.empty() || waiting > 0)
                all.push_back(describe(spelled_out(name), found, waiting, now));
        }
        json body{{"locks", std::move(all)}};
        if (cursor != "0")
            body["cursor"] = cursor;
        co_return api_answer{200, std::move(body), {}};
    }

    asio::awaitable<api_answer> show(std::string name) const {
        std::int64_t now = 0;
        if (auto const ec = co_await read_time(now))
            co_return silent(ec);
        lock_record found;
        std::size_t waiting = 0;
        if (auto const ec = co_await read(lock::script_calls(prefix(), name, layout_).key(), now, found, waiting))
            co_return silent(ec);
        co_return api_answer{200, describe(name, found, waiting, now), {}};
    }

    asio::awaitable<api_answer> break_open(std::string name, manual_order said) const {
        if (!said.problem.empty())
            co_return refused(400, said.problem);
        redis::command command;
        redis::int_sink<1> reply(1);
        lock::script_calls(prefix(), name, layout_).break_open(command, 1, *lock::production_scripts().break_open);
        auto const [ec] = co_await client_.async_exec(command, reply, {}, result);
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
