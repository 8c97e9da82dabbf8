#include "support/redis_sentinels.hpp"

#include "support/with_free_ports.hpp"

#include <hiredis/hiredis.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace weir::test {

std::string redis_sentinels::say(std::size_t sentinel, char const* command) const {
    std::unique_ptr<redisContext, decltype(&::redisFree)> const context(::redisConnect("127.0.0.1", ports_[sentinel]),
                                                                        &::redisFree);
    if (!context || context->err)
        return {};
    if (!password_.empty())
        ::freeReplyObject(::redisCommand(context.get(), "AUTH watch-%s", password_.c_str()));
    std::unique_ptr<redisReply, decltype(&::freeReplyObject)> const reply(
        static_cast<redisReply*>(::redisCommand(context.get(), command)), &::freeReplyObject);
    std::string text;
    if (reply && reply->type == REDIS_REPLY_ARRAY)
        for (std::size_t i = 0; i < reply->elements; ++i)
            if (reply->element[i]->str)
                text += std::string(reply->element[i]->str) + ' ';
    if (reply && reply->str)
        text = reply->str;
    return text;
}

redis_sentinels::redis_sentinels(std::string password)
    : password_(std::move(password)) {
    // Each may become the other's replica.
    redis_server::options how{.tcp = true, .password = password_, .arguments = {"--repl-diskless-sync-delay", "0"}};
    if (!password_.empty())
        how.arguments.insert(how.arguments.end(), {"--masterauth", password_});
    servers_.push_back(std::make_unique<redis_server>(how));
    how.arguments.insert(how.arguments.end(), {"--replicaof", "127.0.0.1", std::to_string(servers_[0]->port())});
    servers_.push_back(std::make_unique<redis_server>(how));
    for (int i = 0; i < 3; ++i) {
        with_free_ports([&] {
            auto const port = free_port();
            auto const home = directory_.path() + "/" + std::to_string(i);
            std::filesystem::create_directory(home);
            std::ofstream file(home + "/sentinel.conf");
            file << "port " << port << "\nbind 127.0.0.1\ndir " << home << "\nsentinel monitor group 127.0.0.1 "
                 << servers_[0]->port()
                 << " 2\nsentinel down-after-milliseconds group 500\nsentinel failover-timeout group 2000\n";
            if (!password_.empty())
                file << "sentinel auth-pass group " << password_ << "\nrequirepass watch-" << password_
                     << "\nsentinel sentinel-pass watch-" << password_ << '\n';
            file.close();
            redis::detail::server_process::settings settings;
            settings.arguments = {home + "/sentinel.conf", "--sentinel"};
            settings.log_path = home + "/log";
            settings.endpoint.port = port;
            sentinels_.push_back(std::make_unique<redis::detail::server_process>(settings));
            ports_.push_back(port);
        });
    }
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    auto const ready = [&] {
        for (std::size_t i = 0; i < ports_.size(); ++i)
            if (say(i, "SENTINEL CKQUORUM group").rfind("OK 3", 0) != 0 ||
                say(i, "SENTINEL MASTER group").find("num-slaves 1 ") == std::string::npos)
                return false;
        return servers_[0]->run({"INFO", "replication"}).find("state=online") != std::string::npos;
    };
    while (!ready()) {
        if (std::chrono::steady_clock::now() > end)
            throw std::runtime_error("the sentinels never found each other");
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
}

std::string redis_sentinels::url() const {
    return "redis://127.0.0.1:" + std::to_string(ports_[0]) +
           "?mode=sentinel&master=group&node=127.0.0.1:" + std::to_string(ports_[1]) +
           "&node=127.0.0.1:" + std::to_string(ports_[2]);
}

} // namespace weir::test
