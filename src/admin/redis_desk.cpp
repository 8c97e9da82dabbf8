#include "admin/redis_desk.hpp"

#include "admin/io.hpp"

#include <cstdlib>

namespace weir::admin {

asio::awaitable<error_code> redis_desk::ask(redis::command command, redis::flat_reply& into) const {
    auto const [ec] = co_await client_.async_exec(command, into, {}, use_result);
    co_return ec;
}

asio::awaitable<error_code> redis_desk::read_time(std::uint16_t slot, std::int64_t& now) const {
    redis::flat_reply time;
    redis::command what("TIME");
    what.at_slot(slot);
    if (auto const ec = co_await ask(std::move(what), time))
        co_return ec;
    auto const part = [&](std::size_t i) {
        return i < time.nodes().size() ? std::strtoll(std::string(time.text(time.nodes()[i])).c_str(), nullptr, 10) : 0;
    };
    now = part(1) * 1'000'000 + part(2);
    co_return error_code{};
}

} // namespace weir::admin
