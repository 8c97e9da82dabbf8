#include "admin/key_walk.hpp"

#include "admin/io.hpp"

#include <weir/redis/hash_slot.hpp>
#include <weir/redis/reply.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace weir::admin {
namespace {

/// How many keys a server looks at for one piece.
constexpr int piece = 1000;

/// What stands for itself in a pattern of Redis.
std::string literally(std::string_view text) {
    std::string pattern;
    for (char const c : text) {
        if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\')
            pattern += '\\';
        pattern += c;
    }
    return pattern;
}

/// Takes a number from the beginning of the text; nothing, and the text as it was, where there is none.
template <class Number>
std::optional<Number> take_number(std::string_view& text) {
    Number value = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc{})
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

auto named(std::vector<redis::key_server> const& all, std::string_view name) {
    return std::find_if(all.begin(), all.end(), [&](auto const& each) { return each.name == name; });
}

} // namespace

key_walk::key_walk(redis::client& client, std::string begin, std::string type)
    : client_(client)
    , begin_(std::move(begin))
    , pattern_(literally(begin_) + '*')
    , type_(std::move(type)) {}

bool key_walk::on_cluster() const { return client_.options().server.topology == redis::topology::cluster; }

// POSITION of SCAN; on a cluster POSITION.SLOT.SERVER, or without the server at its beginning.
std::string key_walk::cursor() const {
    if (ended_)
        return "0";
    auto text = std::to_string(position_);
    if (on_cluster() && (least_slot_ > 0 || !server_.empty()))
        text += '.' + std::to_string(least_slot_);
    if (on_cluster() && !server_.empty())
        text += '.' + server_;
    return text;
}

bool key_walk::resume(std::string_view cursor) {
    auto const position = take_number<std::uint64_t>(cursor);
    if (!position || (!cursor.empty() && (!on_cluster() || cursor.front() != '.')))
        return false;
    unsigned least_slot = 0;
    std::string server;
    if (!cursor.empty()) {
        cursor.remove_prefix(1);
        auto const slot = take_number<unsigned>(cursor);
        if (!slot || *slot >= redis::slot_count || (!cursor.empty() && cursor.front() != '.'))
            return false;
        least_slot = *slot;
        server = cursor.substr(std::min<std::size_t>(cursor.size(), 1));
    }
    if (on_cluster() && *position != 0 && server.empty())
        return false;
    position_ = *position;
    least_slot_ = least_slot;
    server_ = std::move(server);
    ended_ = false;
    return true;
}

asio::awaitable<error_code> key_walk::next(std::vector<std::string>& found) {
    found.clear();
    auto servers = client_.key_servers();
    if (servers.empty()) {
        if (auto const [ec] = co_await client_.async_connect(use_result); ec)
            co_return ec;
        servers = client_.key_servers();
    }
    auto at = on_cluster() ? named(servers, server_) : servers.cbegin();
    if (at == servers.cend()) {
        position_ = 0;
        at = std::find_if(servers.cbegin(), servers.cend(), [&](auto const& each) { return each.slot >= least_slot_; });
    }
    if (at == servers.cend()) {
        ended_ = !servers.empty();
        co_return ended_ ? error_code{} : errc::not_connected;
    }
    server_ = at->name;
    asked_slot_ = at->slot;
    least_slot_ = std::max<unsigned>(least_slot_, at->slot);

    redis::flat_reply reply;
    redis::command scan("SCAN", position_, "MATCH", pattern_, "COUNT", piece, "TYPE", type_);
    scan.at_slot(asked_slot_);
    if (auto const [ec] = co_await client_.async_exec(scan, reply, {.timeout = {}, .idempotent = true}, use_result); ec)
        co_return ec;
    auto const& nodes = reply.nodes();
    auto const position = nodes.size() < 3 ? std::string_view{} : reply.text(nodes[1]);
    auto rest = position;
    auto const number = take_number<std::uint64_t>(rest);
    if (!number || !rest.empty())
        co_return errc::unexpected_reply;
    position_ = *number;
    for (std::size_t i = 3; i < nodes.size(); ++i)
        found.emplace_back(reply.text(nodes[i]));
    if (position_ == 0)
        advance();
    co_return error_code{};
}

// The server says that this was all of it.
void key_walk::advance() {
    auto const servers = client_.key_servers();
    if (on_cluster() && named(servers, server_) == servers.end())
        return; // it was replaced meanwhile, and maybe it was its successor that spoke
    server_.clear();
    ++least_slot_;
    ended_ = std::none_of(servers.begin(), servers.end(), [&](auto const& each) { return each.slot >= least_slot_; });
}

} // namespace weir::admin
